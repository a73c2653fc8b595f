"""A listener's frame in a few numbers that move by themselves: what a person adds to the own face at rest.

Deviations from rest are standardised by channel and turned onto the directions that hold all their variance, R of them;
these are turned again until they are as far from normal as can be (Hyvärinen, "Fast and robust fixed-point algorithms
for independent component analysis", 1999). On faces that gives gestures, lids, the mouth in speech and the head's
angles: most are at rest most of the time, so that "nothing happens" is a zero and not a sum that happens to be small.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from reactface_jax.errors import UserError
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION, AnyArray

_STILL = 1e-4
"""Standard deviation below which a channel never moves."""


class MotionSpace(NamedTuple):
    """x = deviation @ encode, deviation = x @ decode. Components have variance 1."""

    encode: Float[AnyArray, "C R"]
    decode: Float[AnyArray, "R C"]
    weight: Float[AnyArray, " R"]
    """Of a component's error in training: the size of its effect on standardised channels, mean 1."""
    scale: Float[AnyArray, " C"]
    """Standard deviation of each channel over people; floors where nobody moves."""
    speech: Float[AnyArray, " R"]
    """1 for components that talking people move and those who only listen do not."""
    lowest: Float[AnyArray, " R"]
    """Least value of each component in any frame of the listeners; `highest`, the greatest."""
    highest: Float[AnyArray, " R"]


def rest_of(clip: Float[np.ndarray, "*B T C"]) -> Float[np.ndarray, "*B C"]:
    """A person at rest: the tenth part of the expressions, which add to a face, and the middle of the pose."""
    tenth = clip.shape[-2] // 10
    expressions = np.partition(clip[..., :NUM_EXPRESSION], tenth, axis=-2)[..., tenth, :]
    return np.concatenate([expressions, np.median(clip[..., NUM_EXPRESSION:], axis=-2)], axis=-1).astype(np.float32)


def fit(
    deviations: Float[np.ndarray, "n C"], components: int, talks: Bool[np.ndarray, " n"] | None = None, seed: int = 0
) -> MotionSpace:
    """The space of some listeners' deviations from rest.

    Args:
        deviations: frames of many listeners.
        components: R.
        talks: which frames are of people who talk at times; None: nobody is known to only listen.
        seed: of the search for independent components.

    Raises:
        UserError: fewer channels move than there are to be components.
    """
    x = np.asarray(deviations, np.float64)
    std = np.sqrt(np.square(x).mean(0))
    moves = std > _STILL
    z = x[:, moves] / std[moves]
    if components > moves.sum():
        raise UserError(
            f"the listeners move in {moves.sum()} channels, fewer than model.components {components}; give fewer "
            "components, or listeners who move more"
        )
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    values = np.maximum(values, 1e-6 * values[0])
    white = z @ (vectors / np.sqrt(values))
    turn = _independent(white, np.random.default_rng(seed))
    encode, decode = np.zeros((NUM_COEFFICIENTS, components)), np.zeros((components, NUM_COEFFICIENTS))
    encode[moves] = (vectors / np.sqrt(values)) @ turn / std[moves][:, None]
    standard = turn.T @ (vectors * np.sqrt(values)).T  # R C
    decode[:, moves] = standard * std[moves]
    effect = np.sqrt(np.linalg.norm(standard, axis=1))
    floor = np.where(np.arange(NUM_COEFFICIENTS) < NUM_EXPRESSION, 0.05, 0.02)
    frames = x @ encode
    speech = np.zeros(components) if talks is None else speech_components(frames, talks)
    limits = (frames.min(0), frames.max(0))
    arrays = (encode, decode, effect / effect.mean(), np.maximum(std, floor), speech, *limits)
    return MotionSpace(*(array.astype(np.float32) for array in arrays))


def speech_components(x: Float[np.ndarray, "n R"], talks: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " R"]:
    """1 where people who only listen move a third as much as others, or less."""
    if talks.all() or not talks.any():
        return np.zeros(x.shape[1])
    listening, talking = (np.square(x[rows]).mean(0) for rows in (~talks, talks))
    return (listening < talking / 9).astype(np.float64)


def in_chunks(frames: Float[Array, "*B T R"], chunk: int) -> Float[Array, "*B N FR"]:
    """Whole chunks of frames; what is left over at the end is left out."""
    *batch, num_frames, components = frames.shape
    number = num_frames // chunk
    return frames[..., : number * chunk, :].reshape(*batch, number, chunk * components)


def _independent(
    white: Float[np.ndarray, "n R"], rng: np.random.Generator, steps: int = 60
) -> Float[np.ndarray, "R R"]:
    """The rotation of symmetric FastICA with tanh."""
    sample = white[rng.permutation(len(white))[:20_000]]
    turn, _ = np.linalg.qr(rng.normal(size=(white.shape[1],) * 2))
    for _ in range(steps):
        projected = np.tanh(sample @ turn)
        turn = sample.T @ projected / len(sample) - turn * (1 - np.square(projected)).mean(0)
        left, _, right = np.linalg.svd(turn)
        turn = left @ right
    skew = np.sign(((sample @ turn) ** 3).mean(0))
    return turn * np.where(skew == 0, 1.0, skew)  # gestures add to a face: positive
