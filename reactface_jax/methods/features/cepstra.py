"""Log energy and 25 mel-frequency cepstral coefficients, four windows a video frame averaged.

Windows of 20 ms without a taper every 10 ms, FFT of 1024, 26 triangles from 0 Hz to half the rate, orthonormal cosines
and the lifter of 22 (Davis and Mermelstein, 1980, as common in speech recognition). "Let's Face It" resamples such a
course to 25 a second over the whole file; the average of a frame's four windows needs no future.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.methods.features.windows import in_windows
from reactface_jax.ops.linear import exact_product
from reactface_jax.types import SAMPLE_RATE, SAMPLES_PER_FRAME, AnyArray

NUM_CEPSTRA = 26
_SIZE, _STEP, _LENGTH = SAMPLE_RATE // 50, SAMPLE_RATE // 100, 1024
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_LEAST = float(np.finfo(np.float64).eps)
"""Energy of digital silence."""


def cepstra(frames: Float[AnyArray, "*B S2"]) -> Float[Array, "*B 26"]:
    """Of frames with the frame before each in front of them (2 x 640 samples); the windows end in the second one."""
    before = _SIZE - _STEP + 1  # one more sample, for the pre-emphasis
    samples = jnp.asarray(frames)[..., SAMPLES_PER_FRAME - before :]
    windows = in_windows(samples[..., 1:] - _PRE_EMPHASIS * samples[..., :-1], _SIZE, _STEP)
    spectrum = jnp.fft.rfft(windows, _LENGTH)
    power = (jnp.square(spectrum.real) + jnp.square(spectrum.imag)) / _LENGTH
    energy = jnp.log(jnp.maximum(power.sum(-1, keepdims=True), _LEAST))
    bands = jnp.log(jnp.maximum(exact_product(power, _triangles()), _LEAST))
    return jnp.concatenate([energy, exact_product(bands, _cosines())[..., 1:]], axis=-1).mean(-2)


@cache
def _triangles() -> Float[np.ndarray, "N F"]:
    """Corners evenly spaced in mel (2595 log10(1 + f / 700)), each moved down to a bin; straight in frequency."""
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), NUM_CEPSTRA + 2)
    corners = np.floor((_LENGTH + 1) * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE)
    bins = np.arange(_LENGTH // 2 + 1)[:, None]
    rise = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.maximum(np.minimum(rise, fall), 0).astype(np.float32)


@cache
def _cosines() -> Float[np.ndarray, "F 26"]:
    band, k = np.arange(NUM_CEPSTRA)[:, None] + 0.5, np.arange(NUM_CEPSTRA)
    cosines = np.sqrt(2 / NUM_CEPSTRA) * np.cos(np.pi / NUM_CEPSTRA * band * k)
    return (cosines * (1 + _LIFTER / 2 * np.sin(np.pi * k / _LIFTER))).astype(np.float32)
