"""128-band log-mel energies of the speaker's voice, four steps a frame, on the device.

The original's transform is that of its library's defaults: windows of 2,048 samples, a step of 160 samples in the
middle of each, and triangles between 0 and 8,000 Hz on Slaney's scale. Since the energies are standardised, their unit
does not matter.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from reactface_jax.types import SAMPLE_RATE, SAMPLES_PER_FRAME

NUM_BANDS = 128
STEPS_A_FRAME = 4
_HOP = SAMPLES_PER_FRAME // STEPS_A_FRAME
_WINDOW = 2048
_FLOOR = 1e-6
"""Added to the energies, of sound with unit variance: digital silence."""


def log_mel(audio: Float[Array, "B L"], first_frame: Int[Array, " B"], num_frames: int) -> Float[Array, "B S F"]:
    """Energies of `num_frames` frames of each clip, S = 4 a frame; around the clip there is silence."""
    padded = jnp.pad(audio, [(0, 0), (_WINDOW // 2, _WINDOW // 2)])
    step = jnp.arange(STEPS_A_FRAME * num_frames)
    start = first_frame[:, None] * SAMPLES_PER_FRAME + _HOP * step[None, :]  # B S, in `padded`
    index = start[:, :, None] + jnp.arange(_WINDOW)[None, None]
    windows = jnp.take_along_axis(padded, index.reshape(len(audio), -1), axis=1).reshape(index.shape)
    spectrum = jnp.fft.rfft(windows * jnp.asarray(_hann())[None, None])
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return jnp.log(power @ jnp.asarray(_triangles()) + _FLOOR)


@cache
def _hann() -> Float[np.ndarray, " W"]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)


@cache
def _triangles() -> Float[np.ndarray, "H F"]:
    """Overlapping triangles, evenly spaced on Slaney's scale (linear to 1 kHz, then logarithmic), each of area 1."""
    corners = _from_slaney(np.linspace(0.0, _to_slaney(SAMPLE_RATE / 2), NUM_BANDS + 2))
    frequency = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)[:, None]
    rise = (frequency - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - frequency) / (corners[2:] - corners[1:-1])
    return (np.maximum(np.minimum(rise, fall), 0) * 2 / (corners[2:] - corners[:-2])).astype(np.float32)


_LINEAR = 200 / 3
"""Hz a unit, up to 1 kHz."""
_KNEE = 1000 / _LINEAR
_STEP = np.log(6.4) / 27
"""Of the logarithm, above."""


def _to_slaney(frequency: float) -> float:
    return float(_KNEE + np.log(frequency / 1000) / _STEP)


def _from_slaney(units: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.where(units < _KNEE, units * _LINEAR, 1000 * np.exp(_STEP * (units - _KNEE)))
