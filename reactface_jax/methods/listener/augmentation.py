"""What a tracker makes of real people, applied to made speakers in training.

Rest, gain and asymmetry of each channel, channels that the tracker hardly shows or takes for others, noise that stays
for some frames, wandering heads, jumps and lost faces; and what MediaPipe makes of people who are drawn.
"""

import re
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

_CLEAN = 0.35
"""Share of clips that stay as they are."""
_DRAWN = 0.2
"""Share of the other clips that are seen as MediaPipe sees drawn heads."""
_DULL, _DULLEST = 0.3, 0.05
"""Share of movements that a tracker hardly shows, and the smallest gain of these."""
_MIXED, _MIXING = 0.04, 0.4
"""Share of pairs of channels of which a tracker takes the one for the other, too, and the standard deviation of how
much of it."""
_LOUD = 0.25
"""Share of movements in which there is much noise: of a real, quiet face browDown varies by .13 and translation_z by
.2, while most channels stand still."""
_NOISY = 0.4
"""Share of the drawn that have such noise, too."""
_MOVEMENTS, _MOVEMENT = np.unique([re.sub("Left$|Right$", "", name) for name in COEFFICIENT_NAMES], return_inverse=True)
"""Names of what both sides do, and which of them a channel belongs to."""


def _of_kind(expression: float, rotation: float, translation: float) -> Float[np.ndarray, "1 1 C"]:
    return np.repeat(np.array([expression, rotation, translation], np.float32), [NUM_EXPRESSION, 3, 3])[None, None]


_USUAL = _of_kind(0.12, 0.04, 0.02)
"""Amount of a movement."""
_QUICK, _SLOW, _SLOWEST = _of_kind(0.04, 0.01, 0.02), _of_kind(0.12, 0.03, 0.08), _of_kind(0.06, 0.06, 0.15)
"""Noise that changes with every frame, stays for half a second, and for seconds."""


def augment(
    key: Key[Array, ""],
    coefficients: Float[Array, "B T C"],
    bands: Float[Array, "B T F"],
    drawn: bool,
) -> tuple[Float[Array, "B T C"], Float[Array, "B T F"]]:
    """Another person with another tracker, and another microphone.

    Args:
        key: of the draws.
        coefficients: of speakers.
        bands: log-mel energies of their voices.
        drawn: whether some are seen as MediaPipe sees drawn heads; for true coefficients, in its channels, only.
    """
    batch, frames, _ = coefficients.shape
    keys = iter(jax.random.split(key, 32))

    def uniform(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
        return jax.random.uniform(next(keys), shape, minval=low, maxval=high)

    def normal(*shape: int) -> Array:
        return jax.random.normal(next(keys), shape)

    is_expression = (jnp.arange(NUM_COEFFICIENTS) < NUM_EXPRESSION)[None, None]
    channels, movements, clips = (batch, 1, NUM_COEFFICIENTS), (batch, 1, len(_MOVEMENTS)), (batch, 1, 1)
    middle = jnp.mean(coefficients, axis=1, keepdims=True)
    base = jnp.where(is_expression, jnp.min(coefficients, axis=1, keepdims=True), middle)
    moving = coefficients - base
    # Gains: of the person, and of each channel, so that left and right differ too.
    # Trackers show less than made people have: a real smile of .3 is worth an answer.
    gain = jnp.exp(-0.3 + 0.45 * normal(*clips) + 0.2 * normal(*channels))
    dull = jnp.where(uniform(movements) < _DULL, _DULLEST ** uniform(movements), 1.0)[..., _MOVEMENT]
    # Rest: many expressions are a little on in a face at rest; heads are anywhere.
    resting = uniform(channels, high=0.6) * (uniform(channels) < 0.3)
    placed = base + _of_kind(0.0, 0.2, 0.3) * normal(*channels)
    # Noise: what a tracker makes up for a while, it makes up on both sides.
    quick = normal(batch, frames, NUM_COEFFICIENTS)
    slow, slowest = (_smooth(normal(batch, frames, len(_MOVEMENTS)), w)[..., _MOVEMENT] for w in (12, 50))
    size = uniform(movements) ** 3
    size = jnp.where(uniform(movements) < _LOUD, uniform(movements, 0.5, 1.5), size)[..., _MOVEMENT]
    noise = size * (_QUICK * quick + _SLOW * slow + _SLOWEST * slowest)
    # What one channel shows of the others, in usual amounts of both.
    pairs = (batch, NUM_COEFFICIENTS, NUM_COEFFICIENTS)
    mixing = (uniform(pairs) < _MIXED) * _MIXING * normal(*pairs)
    shown = dull * (gain * (moving + _USUAL * ((moving / _USUAL) @ mixing)) + noise)
    if drawn:
        slope, residual = drawn_response()
        chosen = uniform(clips) < _DRAWN
        left_over = residual[None, None] * jnp.exp(0.5 * normal(*channels) - 0.5) * (0.5 * quick + 0.85 * slow)
        as_drawn = gain * (moving @ slope) + left_over + (uniform(clips) < _NOISY) * noise
        shown = jnp.where(chosen, as_drawn, shown)
    changed = jnp.where(is_expression, base + resting, placed) + shown
    changed = jnp.where(is_expression, jnp.clip(changed, 0.0, 1.0), changed)
    # A slower camera repeats its pictures.
    repeats = (jnp.arange(frames) // 2) * 2
    changed = jnp.where(uniform(clips) < 0.2, changed[:, repeats], changed)
    # The tracker jumps for a frame, and loses the face for some.
    jump = (uniform((batch, frames, 1)) < 0.004) * 0.3 * normal(batch, frames, NUM_COEFFICIENTS)
    lost = _smooth((uniform((batch, frames, 1)) < 0.002).astype(jnp.float32), 9) > 0
    changed = jnp.where(jnp.broadcast_to(lost, changed.shape), jnp.nan, changed + jump)
    clean = uniform(clips) < _CLEAN
    level = uniform(clips, -6.0, 8.0)
    background = uniform(clips, -22.0, -9.0) + 0.5 * normal(batch, frames, bands.shape[-1])
    noisy = jnp.logaddexp(bands, background)
    return (
        jnp.where(clean, coefficients, changed),
        jnp.where(uniform(clips) < 0.5, bands, noisy) + level,
    )


def drawn_response() -> tuple[Float[np.ndarray, "C C"], Float[np.ndarray, " C"]]:
    """How MediaPipe responds to a drawn head, as `benchmarks/mediapipe_response.py` has measured it.

    Returns:
        The change of each measured coefficient (columns) by that of each true one (rows), and the standard deviation of
        what these do not explain.
    """
    asset = resources.files("reactface_jax") / "assets" / "mediapipe_response.npz"
    with asset.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["slope"], arrays["residual"]


def _smooth(x: Float[Array, "B T C"], width: int) -> Float[Array, "B T C"]:
    """Means over `width` frames, of the variance that went in."""
    sums = jnp.cumsum(jnp.pad(x, ((0, 0), (width, 0), (0, 0))), axis=1)
    return (sums[:, width:] - sums[:, :-width]) / jnp.sqrt(width)
