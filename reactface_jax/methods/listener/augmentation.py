"""What a tracker makes of real people, applied to made speakers in training.

Rest, gain and asymmetry of each channel, channels that the tracker hardly shows or takes for others, noise that stays
for some frames, wandering heads, jumps and lost faces.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

_CLEAN = 0.35
"""Share of clips that stay as they are."""
_DULL, _DULLEST = 0.3, 0.05
"""Share of movements that a tracker hardly shows, and the smallest gain of these. Of made heads, drawn, MediaPipe shows
.08 of browDown, .31 to .52 of raised brows and .55 of rotation_x (`benchmarks/listener.py --rows drawn`)."""
_MIXED, _MIXING = 0.04, 0.4
"""Share of pairs of channels of which a tracker takes the one for the other, too, and the standard deviation of how
much of it."""
_MOVEMENTS, _MOVEMENT = np.unique([re.sub("Left$|Right$", "", name) for name in COEFFICIENT_NAMES], return_inverse=True)
"""Names of what both sides do, and which of them a channel belongs to."""


def augment(
    key: Key[Array, ""], coefficients: Float[Array, "B T C"], bands: Float[Array, "B T F"]
) -> tuple[Float[Array, "B T C"], Float[Array, "B T F"]]:
    """Another person with another tracker, and another microphone."""
    batch, frames, _ = coefficients.shape
    keys = iter(jax.random.split(key, 24))

    def uniform(shape: tuple[int, ...], low: float, high: float) -> Array:
        return jax.random.uniform(next(keys), shape, minval=low, maxval=high)

    def normal(*shape: int) -> Array:
        return jax.random.normal(next(keys), shape)

    is_expression = (jnp.arange(NUM_COEFFICIENTS) < NUM_EXPRESSION)[None, None]
    middle = jnp.mean(coefficients, axis=1, keepdims=True)
    base = jnp.where(is_expression, jnp.min(coefficients, axis=1, keepdims=True), middle)
    moving = coefficients - base
    # Gains: of the person, and of each channel, so that left and right differ too.
    # Trackers show less than made people have: a real smile of .3 is worth an answer.
    gain = jnp.exp(-0.3 + 0.45 * normal(batch, 1, 1) + 0.2 * normal(batch, 1, NUM_COEFFICIENTS))
    movements = (batch, 1, len(_MOVEMENTS))
    dull = jnp.where(uniform(movements, 0.0, 1.0) < _DULL, _DULLEST ** uniform(movements, 0.0, 1.0), 1.0)
    dull = dull[..., _MOVEMENT]
    # Rest: many expressions are a little on in a face at rest; heads are anywhere.
    resting = uniform((batch, 1, NUM_COEFFICIENTS), 0.0, 0.4) * (uniform((batch, 1, NUM_COEFFICIENTS), 0.0, 1.0) < 0.3)
    apart = jnp.array([0.0] * NUM_EXPRESSION + [0.2] * 3 + [0.3] * 3)[None, None]
    placed = base + apart * normal(batch, 1, NUM_COEFFICIENTS)
    # Noise of a tracker: some of it changes with every frame, some stays for half a second, and for seconds in heads.
    quick = normal(batch, frames, NUM_COEFFICIENTS)
    slow = _smooth(normal(batch, frames, NUM_COEFFICIENTS), 12)
    slowest = _smooth(normal(batch, frames, NUM_COEFFICIENTS), 50)
    # Of a real, quiet face browDown varies by .13 and translation_z by .2, while most channels stand still.
    sizes = uniform((batch, 1, NUM_COEFFICIENTS), 0.0, 1.0) ** 3
    quick_size, slow_size, slowest_size = (
        jnp.array([of_expression] * NUM_EXPRESSION + [of_turn] * 3 + [of_place] * 3)[None, None]
        for of_expression, of_turn, of_place in ((0.04, 0.01, 0.02), (0.12, 0.03, 0.08), (0.06, 0.06, 0.15))
    )
    # What one channel shows of the others, in usual amounts of both.
    pairs = (batch, NUM_COEFFICIENTS, NUM_COEFFICIENTS)
    usual = jnp.array([0.12] * NUM_EXPRESSION + [0.04] * 3 + [0.02] * 3)[None, None]
    mixing = (uniform(pairs, 0.0, 1.0) < _MIXED) * _MIXING * normal(*pairs)
    moving = moving + usual * ((moving / usual) @ mixing)
    noise = sizes * (quick_size * quick + slow_size * slow + slowest_size * slowest)
    changed = jnp.where(is_expression, base + resting, placed) + dull * (gain * moving + noise)
    changed = jnp.where(is_expression, jnp.clip(changed, 0.0, 1.0), changed)
    # A slower camera repeats its pictures.
    repeats = (jnp.arange(frames) // 2) * 2
    changed = jnp.where(uniform((batch, 1, 1), 0.0, 1.0) < 0.2, changed[:, repeats], changed)
    # The tracker jumps for a frame, and loses the face for some.
    jump = (uniform((batch, frames, 1), 0.0, 1.0) < 0.004) * 0.3 * normal(batch, frames, NUM_COEFFICIENTS)
    lost = _smooth((uniform((batch, frames, 1), 0.0, 1.0) < 0.002).astype(jnp.float32), 9) > 0
    changed = jnp.where(jnp.broadcast_to(lost, changed.shape), jnp.nan, changed + jump)
    clean = uniform((batch, 1, 1), 0.0, 1.0) < _CLEAN
    level = uniform((batch, 1, 1), -6.0, 8.0)
    background = uniform((batch, 1, 1), -22.0, -9.0) + 0.5 * normal(batch, frames, bands.shape[-1])
    noisy = jnp.logaddexp(bands, background)
    return (
        jnp.where(clean, coefficients, changed),
        jnp.where(uniform((batch, 1, 1), 0.0, 1.0) < 0.5, bands, noisy) + level,
    )


def _smooth(x: Float[Array, "B T C"], width: int) -> Float[Array, "B T C"]:
    """Means over `width` frames, of the variance that went in."""
    sums = jnp.cumsum(jnp.pad(x, ((0, 0), (width, 0), (0, 0))), axis=1)
    return (sums[:, width:] - sums[:, :-width]) / jnp.sqrt(width)
