"""Motion distance: the Fréchet distance between pieces of real and of generated motion.

A video distance judges content more than motion; here there is nothing but motion. It is shown with its floor, the
same distance between real people, since at a few hundred pieces even that is well above 0.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from reactface_jax.metrics.frechet import frechet

PIECE = 16
"""Frames."""
COMPONENTS = 32
"""Principal components of the real pieces that are compared."""
NUM_HALVINGS = 10


class MotionDistance(NamedTuple):
    """Means over several halvings of the clips, at equal numbers of pieces.

    NaN where there are too few, or nobody moves.
    """

    distance: float
    """Generated pieces of one half against real pieces of the other."""
    floor: float
    """Real pieces of the one half against the same."""


def motion_distance(
    prediction: Float[np.ndarray, "N K T C"],
    listener: Float[np.ndarray, "N T C"],
    groups: Int[np.ndarray, " N"],
    seed: int = 0,
) -> MotionDistance:
    """Compares reactions with the split's real listeners.

    Clip i gives its reaction i modulo K, cut into pieces of 16 frames; channels are standardised by the real ones'
    spread, and those that never move are left out.

    Args:
        prediction: K reactions to each of N clips.
        listener: the real ones.
        groups: clips of one group stay in the same half.
        seed: of the halvings.
    """
    std = listener.std((0, 1), dtype=np.float64)
    moving = std > 1e-6
    real = _pieces(listener[..., moving] / std[moving])
    chosen = prediction[np.arange(len(prediction)), np.arange(len(prediction)) % prediction.shape[1]]
    made = _pieces(chosen[..., moving] / std[moving])
    names = np.unique(groups)
    if len(names) < 2 or 0 in real.shape:
        return MotionDistance(np.nan, np.nan)
    flat = real.reshape(-1, real.shape[-1])
    centre = flat.mean(0)
    axes = _principal_axes(flat, centre)
    real, made = ((pieces - centre) @ axes.T for pieces in (real, made))
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(NUM_HALVINGS):
        half = np.isin(groups, generator.permutation(names)[: len(names) // 2])
        one, other, floor = (x.reshape(-1, x.shape[-1]) for x in (made[half], real[~half], real[half]))
        count = min(len(one), len(other))
        if count < 2:
            return MotionDistance(np.nan, np.nan)
        found.append((frechet(one[:count], other[:count]), frechet(floor[:count], other[:count])))
    distance, least = np.mean(found, axis=0)
    return MotionDistance(float(distance), float(least))


def _principal_axes(pieces: Float[np.ndarray, "n D"], centre: Float[np.ndarray, " D"]) -> Float[np.ndarray, "Q D"]:
    """The leading eigenvectors of the pieces' covariance: a twentieth of the time that decomposing the pieces takes."""
    centred = pieces - centre
    axes: np.ndarray = np.linalg.eigh(centred.T @ centred)[1][:, ::-1].T[: min(COMPONENTS, len(pieces))]
    return axes


def _pieces(people: Float[np.ndarray, "N T C"]) -> Float[np.ndarray, "N P D"]:
    """Each clip's whole pieces, one after the other."""
    count, frames, channels = people.shape
    whole = frames // PIECE
    return people[:, : whole * PIECE].reshape(count, whole, PIECE * channels).astype(np.float64)
