"""The five losses of ReactFace, pure functions in float32.

All coefficients are relative to `mean_face`. Reconstruction, KL and smoothness come from a clip's first reaction, as
in the authors' code; the other reactions enter only through diversity, and through `variety` where it is asked for.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from reactface_jax.config import LossConfig
from reactface_jax.types import NUM_EXPRESSION, AnyArray, Reactions

DIVERSITY_TEMPERATURE = 100.0
SMOOTH_EXPRESSION_WEIGHT = 0.1  # against 1 for rotation and translation
REFERENCE_WEIGHTS = LossConfig()


def total(
    reactions: Reactions,
    speaker: Float[AnyArray, "B T C"],
    neighbours: Float[AnyArray, "B M T C"],
    neighbour_mask: Bool[AnyArray, "B M"] | None = None,
    *,
    weights: LossConfig = REFERENCE_WEIGHTS,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The training loss.

    Args:
      reactions: K reactions per clip from one encoding of the speaker.
      speaker: the speaker's own coefficients.
      neighbours: appropriate reactions of each clip, at least one.
      neighbour_mask: which of them are real; None takes them all, and rows of a large constant (the reference pads
        with 1e5) are then never the nearest, but with `weights.nearest` "reaction", where every row counts.
      weights: of the five losses; a loss with weight 0 takes no part, whatever its value.

    Returns:
      The weighted sum, and the five losses before weighting.
    """
    first = reactions.listener[:, 0]
    of_course = weights.diversity_of == "course"
    if weights.nearest == "reaction":
        reconstructed = variety(
            reactions.listener, neighbours, neighbour_mask, pose_weight=weights.pose, of_course=of_course
        )
    else:
        together = weights.nearest == "together"
        reconstructed = reconstruction(first, neighbours, neighbour_mask, pose_weight=weights.pose, together=together)
    parts = {
        "reconstruction": reconstructed,
        "kl": kl(reactions.mean[:, 0], reactions.std[:, 0]),
        "diversity": diversity(reactions.listener, of_course=of_course),
        "smooth": smooth(first),
        "speaker": smooth_l1(reactions.speaker, speaker).mean(),
    }
    return _weighted_sum(parts, weights), parts


def validation(
    reactions: Reactions,
    listener: Float[AnyArray, "B T C"],
    valid: Bool[AnyArray, " B"] | None = None,
    *,
    weights: LossConfig = REFERENCE_WEIGHTS,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The first reaction against the one real listener, plus the KL term.

    Args:
      reactions: generated reactions; the first one counts.
      listener: the real listener of each clip.
      valid: which clips count, at least one; None counts all.
      weights: of the reconstruction (with its pose) and of the KL.

    Returns:
      The weighted sum, and both losses before weighting.
    """
    divergence = _kl_per_coordinate(reactions.mean[:, 0], reactions.std[:, 0]).mean((1, 2))
    parts = {
        "reconstruction": distance(reactions.listener[:, 0], listener, valid, pose_weight=weights.pose),
        "kl": jnp.sum(_share(listener, valid) * divergence),
    }
    return _weighted_sum(parts, weights), parts


def distance(
    reaction: Float[AnyArray, "B T C"],
    listener: Float[AnyArray, "B T C"],
    valid: Bool[AnyArray, " B"] | None = None,
    *,
    pose_weight: float = REFERENCE_WEIGHTS.pose,
) -> Float[Array, ""]:
    """Smooth L1 to the one real listener, expression plus weighted pose; mean over the valid clips."""
    expression, pose = map(_distance, _split(reaction), _split(listener))
    return jnp.sum(_share(listener, valid) * (expression + pose_weight * pose))


def _share(listener: Float[AnyArray, "B T C"], valid: Bool[AnyArray, " B"] | None) -> Float[Array, " B"]:
    """Of each clip in a mean over the valid ones."""
    share = jnp.ones(len(listener)) if valid is None else jnp.asarray(valid, jnp.float32)
    return share / share.sum()


def reconstruction(
    reaction: Float[AnyArray, "B T C"],
    neighbours: Float[AnyArray, "B M T C"],
    neighbour_mask: Bool[AnyArray, "B M"] | None = None,
    *,
    pose_weight: float = REFERENCE_WEIGHTS.pose,
    together: bool = False,
) -> Float[Array, ""]:
    """Appropriate reconstruction: distance to the nearest neighbour, expression plus weighted pose, batch mean.

    The gradient flows only through the nearest, so that the backward pass keeps nothing of size [B, M, T, C].

    Args:
      reaction: one of each clip.
      neighbours: its appropriate reactions.
      neighbour_mask: which of them are real; None: all.
      pose_weight: of rotation and translation.
      together: one neighbour is the nearest in the weighted sum. Otherwise it is sought for expression and pose
        separately, as in the authors' code, and the two may be different people's.
    """
    expression_distance, pose_distance = _distances(reaction, neighbours)
    if together:
        expression_distance = pose_distance = expression_distance + pose_weight * pose_distance
    expression, pose = (
        _distance(ours, _take(theirs, _nearest(distances, neighbour_mask)))
        for ours, theirs, distances in zip(
            _split(reaction), _split(neighbours), (expression_distance, pose_distance), strict=True
        )
    )
    return jnp.mean(expression + pose_weight * pose)


def variety(
    listener: Float[AnyArray, "B K T C"],
    neighbours: Float[AnyArray, "B M T C"],
    neighbour_mask: Bool[AnyArray, "B M"] | None = None,
    *,
    pose_weight: float = REFERENCE_WEIGHTS.pose,
    of_course: bool = False,
) -> Float[Array, ""]:
    """Distance of every appropriate reaction to the nearest of the K generated ones; mean over reactions and clips.

    The search is the other way round than in `reconstruction`: no appropriate reaction may be far from all K, so that
    these must differ as those do (the variety loss of Gupta et al., Social GAN, CVPR 2018, with several targets). The
    nearest is that in expression and weighted pose together. The backward pass keeps B M T C numbers.

    Args:
      listener: K reactions of each clip.
      neighbours: its appropriate reactions. Each of them counts, so that padding needs the mask.
      neighbour_mask: which of them are real, at least one of each clip; None: all.
      pose_weight: of rotation and translation.
      of_course: the nearest is sought without each one's mean over the clip, so that reactions which differ by a
        constant are none the nearer for it.
    """
    sought = (listener, jnp.asarray(neighbours))
    ours, theirs = (x - x.mean(axis=2, keepdims=True) for x in sought) if of_course else sought

    def distances(reaction: Float[AnyArray, "B T C"]) -> Float[Array, "B M"]:
        expression, pose = _distances(reaction, theirs)
        return expression + pose_weight * pose

    nearest = jnp.argmin(jax.lax.map(distances, jnp.moveaxis(ours, 1, 0)), axis=0)  # B M
    taken = jnp.take_along_axis(listener, nearest[:, :, None, None], axis=1)  # B M T C
    expression, pose = (smooth_l1(*pair).mean((2, 3)) for pair in zip(_split(taken), _split(neighbours), strict=True))
    real = None if neighbour_mask is None else jnp.asarray(neighbour_mask)
    return jnp.mean(jnp.mean(expression + pose_weight * pose, axis=1, where=real))


def _distances(
    reaction: Float[AnyArray, "B T C"], neighbours: Float[AnyArray, "B M T C"]
) -> tuple[Float[Array, "B M"], Float[Array, "B M"]]:
    """To each neighbour in expression and in pose; no gradient, so that nothing of size [B, M, T, C] is kept."""
    per_channel = smooth_l1(jax.lax.stop_gradient(reaction)[:, None], neighbours).mean(axis=2)
    expression, pose = (distances.mean(axis=2) for distances in _split(per_channel))
    return expression, pose


def _nearest(distances: Float[Array, "B M"], neighbour_mask: Bool[AnyArray, "B M"] | None) -> Int[Array, " B"]:
    if neighbour_mask is not None:
        distances = jnp.where(neighbour_mask, distances, jnp.inf)
    return jnp.argmin(distances, axis=1)


def _take(neighbours: Float[AnyArray, "B M T c"], row: Int[Array, " B"]) -> Float[Array, "B T c"]:
    return jnp.take_along_axis(neighbours, row[:, None, None, None], axis=1)[:, 0]


def _distance(a: Float[AnyArray, "B T c"], b: Float[AnyArray, "B T c"]) -> Float[Array, " B"]:
    return smooth_l1(a, b).mean((1, 2))


def kl(mean: Float[AnyArray, "B N D"], std: Float[AnyArray, "B N D"]) -> Float[Array, ""]:
    """KL(N(mean, std²) || N(0, 1)), mean over clips, windows and coordinates."""
    return _kl_per_coordinate(mean, std).mean()


def _kl_per_coordinate(mean: Float[AnyArray, "B N D"], std: Float[AnyArray, "B N D"]) -> Float[Array, "B N D"]:
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    return 0.5 * (mean**2 + std**2 - 1) - jnp.log(std)


def diversity(listener: Float[AnyArray, "B K T C"], *, of_course: bool = False) -> Float[Array, ""]:
    """Similarity of a clip's reactions: sum over their pairs of the batch mean of exp(-||a - b||² / 100).

    The norm is over all T * C numbers. A single reaction has no pairs: 0. With `of_course` a reaction's mean over the
    clip is taken off first, so that reactions which differ by a constant are the same.
    """
    listener = jnp.asarray(listener, jnp.float32)
    if of_course:
        listener -= listener.mean(axis=2, keepdims=True)
    similarity = jnp.zeros(())
    for a, b in itertools.combinations(range(listener.shape[1]), 2):
        squared = jnp.sum((listener[:, a] - listener[:, b]) ** 2, axis=(1, 2))
        similarity += jnp.exp(-squared / DIVERSITY_TEMPERATURE).mean()
    return similarity


def smooth(reaction: Float[AnyArray, "B T C"]) -> Float[Array, ""]:
    """Smooth L1 between successive velocities, pose plus 0.1 expression; needs 3 frames."""
    velocity = jnp.diff(reaction.astype(jnp.float32), axis=1)
    expression, pose = _split(smooth_l1(velocity[:, 1:], velocity[:, :-1]))
    return pose.mean() + SMOOTH_EXPRESSION_WEIGHT * expression.mean()


def smooth_l1(a: Float[AnyArray, "..."], b: Float[AnyArray, "..."]) -> Float[Array, "..."]:
    """Smooth L1 with beta 1, elementwise, in float32."""
    return optax.huber_loss(a.astype(jnp.float32), b.astype(jnp.float32), delta=1.0)


def _split(coefficients: Float[AnyArray, "... C"]) -> tuple[Float[AnyArray, "... E"], Float[AnyArray, "... P"]]:
    """Expression weights, and rotation with translation."""
    return coefficients[..., :NUM_EXPRESSION], coefficients[..., NUM_EXPRESSION:]


def _weighted_sum(parts: dict[str, Float[Array, ""]], weights: LossConfig) -> Float[Array, ""]:
    weighted = [getattr(weights, name) * value for name, value in parts.items() if getattr(weights, name) != 0]
    return functools.reduce(jnp.add, weighted, jnp.zeros(()))
