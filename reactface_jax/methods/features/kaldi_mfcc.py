"""Mel-frequency cepstral coefficients as Kaldi computes them, of each video frame's sound by itself.

Kaldi's `compute-mfcc-feats` with `--use-energy` and no dither (Povey et al., "The Kaldi speech recognition toolkit",
2011), in the reading of torchaudio's `compliance.kaldi`. Windows of 25 ms every 10 ms that lie within the frame: two at
25 frames a second.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.methods.features.windows import in_windows
from reactface_jax.ops.linear import exact_product
from reactface_jax.types import SAMPLE_RATE, AnyArray

NUM_CEPSTRA = 13
NUM_BANDS = 23
LOWEST = 20.0
"""Of the bands (Hz); the highest is half the rate."""
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_EPSILON = float(np.finfo(np.float32).eps)
"""Least energy."""


def kaldi_mfcc(frames: Float[AnyArray, "*B S"], rate: int = SAMPLE_RATE) -> Float[Array, "*B W 13"]:
    """Log energy and coefficients 1 to 12 of every window of a frame.

    Samples are in [-1, 1]. The log energy is floored at 0, as Kaldi does for 16-bit samples: quiet windows have 0.
    """
    size = window_size(rate)
    windows = in_windows(frames, size, rate // 100)
    windows -= windows.mean(-1, keepdims=True)
    energy = jnp.maximum(jnp.log(jnp.maximum(jnp.square(windows).sum(-1), _EPSILON)), 0)
    before = jnp.concatenate([windows[..., :1], windows[..., :-1]], axis=-1)
    shaped = (windows - _PRE_EMPHASIS * before) * jnp.broadcast_to(_povey(size), windows.shape)
    length = 1 << (size - 1).bit_length()
    spectrum = jnp.fft.rfft(shaped, length)[..., : length // 2]
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.log(jnp.maximum(exact_product(power, _triangles(length, rate)), _EPSILON))
    return jnp.concatenate([energy[..., None], exact_product(bands, _cosines())[..., 1:]], axis=-1)


def with_deltas(cepstra: Float[Array, "*B W 13"]) -> Float[Array, "*B F"]:
    """Coefficients, deltas and second deltas as one vector: index (order · 13 + coefficient) · W + window."""
    first = _deltas(cepstra)
    stacked = jnp.stack([cepstra, first, _deltas(first)], axis=-3)  # *B 3 W 13
    return jnp.swapaxes(stacked, -1, -2).reshape(*cepstra.shape[:-2], -1)


def window_size(rate: int) -> int:
    """Samples of 25 ms."""
    return rate * 25 // 1000


def _deltas(x: Float[Array, "*B W D"]) -> Float[Array, "*B W D"]:
    """Slope over two windows on either side, the first and last repeated at the edges."""
    count = x.shape[-2]
    at = np.arange(count)
    slopes = [n * (x[..., np.minimum(at + n, count - 1), :] - x[..., np.maximum(at - n, 0), :]) for n in (1, 2)]
    return (slopes[0] + slopes[1]) / 10


@cache
def _povey(size: int) -> Float[np.ndarray, " S"]:
    return (np.hanning(size) ** 0.85).astype(np.float32)


@cache
def _triangles(length: int, rate: int) -> Float[np.ndarray, "N F"]:
    """Triangles of height 1, evenly spaced in mel (1127 log(1 + f / 700)) and straight in it; no Nyquist bin."""
    mel = 1127 * np.log1p(np.arange(length // 2) * rate / length / 700)[:, None]
    lowest, highest = (1127 * np.log1p(f / 700) for f in (LOWEST, rate / 2))
    corners = np.linspace(lowest, highest, NUM_BANDS + 2)
    rise = (mel - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - mel) / (corners[2:] - corners[1:-1])
    return np.maximum(np.minimum(rise, fall), 0).astype(np.float32)


@cache
def _cosines() -> Float[np.ndarray, "F 13"]:
    """Orthonormal cosine transform with the lifter."""
    band, k = np.arange(NUM_BANDS)[:, None] + 0.5, np.arange(NUM_CEPSTRA)
    cosines = np.sqrt(2 / NUM_BANDS) * np.cos(np.pi / NUM_BANDS * band * k)
    return (cosines * (1 + _LIFTER / 2 * np.sin(np.pi * k / _LIFTER))).astype(np.float32)
