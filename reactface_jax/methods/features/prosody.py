"""Energy and pitch of the voice, and how they change.

Pitch by normalised autocorrelation with Praat's thresholds (Boersma, "Accurate short-term analysis of the fundamental
frequency", 1993). Two deviations from Praat, which "Let's Face It" uses: no path is sought through the candidates of a
whole file, so that a stream can be heard, and the file's loudest sample, to which silence is relative, is taken to be
`_PEAK`, since sound has unit variance. Energy is that of the same windows, 40 ms long, every 20 ms.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.methods.features import SPEECH_LEVEL
from reactface_jax.methods.features.windows import in_windows
from reactface_jax.types import SAMPLE_RATE, AnyArray

LOWEST, HIGHEST = 75.0, 600.0
"""Of the pitch (Hz)."""
_SIZE, _STEP = SAMPLE_RATE // 25, SAMPLE_RATE // 50
_STEP_MS = 20
_LENGTH = 1024
"""Of the FFT: no less than a window and the longest lag."""
_OCTAVE_COST, _VOICING, _SILENCE = 0.01, 0.45, 0.03
_PEAK = 6.0
"""Of speech of unit variance: 16 dB."""
_HEARING = 2e-5
"""Pascal at 0 dB."""


def prosody(frames: Float[AnyArray, "*B S2"]) -> Float[Array, "*B 4"]:
    """Energy, its change a millisecond, pitch, its change; of frames with the frame before each in front of them.

    Energy is max(log(dB) - 3, 0), pitch max(log(Hz + 1) - 4, 0), 0 where nothing is voiced. Samples have unit variance,
    which counts as `SPEECH_LEVEL`.
    """
    windows = in_windows(frames, _SIZE, _STEP)  # ends: the frame's start, middle and end
    windows -= windows.mean(-1, keepdims=True)
    parts = []
    for course in (_energy(windows), jnp.maximum(jnp.log(pitch(windows) + 1) - 4, 0)):
        parts += [course[..., 1:].mean(-1), jnp.diff(course).mean(-1) / _STEP_MS]
    return jnp.stack(parts, axis=-1)


def pitch(windows: Float[Array, "*B S"]) -> Float[Array, "*B"]:
    """Fundamental frequency (Hz) of windows of 40 ms without their means; 0 where nothing is voiced."""
    spectrum = jnp.fft.rfft(windows * jnp.broadcast_to(_hann(), windows.shape), _LENGTH)
    correlation = jnp.fft.irfft(jnp.square(spectrum.real) + jnp.square(spectrum.imag), _LENGTH)
    shortest, longest = int(SAMPLE_RATE / HIGHEST), int(SAMPLE_RATE / LOWEST) + 1
    lags = np.arange(shortest - 1, longest + 2)
    power = jnp.maximum(correlation[..., :1], 1e-12)
    strengths = (
        correlation[..., lags] / power / jnp.broadcast_to(_window_correlation()[lags], (*power.shape[:-1], len(lags)))
    )
    left, middle, right = strengths[..., :-2], strengths[..., 1:-1], strengths[..., 2:]
    # The parabola through a peak and its neighbours.
    curve = jnp.minimum(left - 2 * middle + right, -1e-9)
    offset = 0.5 * (left - right) / curve
    lag = jnp.broadcast_to(lags[1:-1].astype(np.float32), middle.shape) + offset
    height = jnp.minimum(middle - 0.25 * (left - right) * offset, 1)
    score = height - _OCTAVE_COST * jnp.log2(jnp.maximum(LOWEST * lag / SAMPLE_RATE, 1e-3))
    score = jnp.where((middle > left) & (middle >= right), score, -jnp.inf)
    best = jnp.argmax(score, axis=-1, keepdims=True)
    loudness = jnp.abs(windows).max(-1) / _PEAK
    unvoiced = _VOICING + jnp.maximum(0, 2 - loudness / (_SILENCE / (1 + _VOICING)))
    voiced = jnp.take_along_axis(score, best, -1)[..., 0] > unvoiced
    return jnp.where(voiced, SAMPLE_RATE / jnp.take_along_axis(lag, best, -1)[..., 0], 0)


def _energy(windows: Float[Array, "*B S"]) -> Float[Array, "*B"]:
    """max(log(dB) - 3, 0) = log(max(dB, e^3)) - 3."""
    weight = _hann() / _hann().sum()
    power = jnp.square(SPEECH_LEVEL * windows) @ weight
    decibels = 10 * jnp.log10(jnp.maximum(power, 1e-20) / _HEARING**2)
    return jnp.log(jnp.maximum(decibels, jnp.exp(3.0))) - 3


@cache
def _hann() -> Float[np.ndarray, " S"]:
    return np.hanning(_SIZE + 2)[1:-1].astype(np.float32)


@cache
def _window_correlation() -> Float[np.ndarray, " N"]:
    """The window's own, by which that of the sound is divided (equation 9)."""
    correlation = np.fft.irfft(np.abs(np.fft.rfft(_hann().astype(np.float64), 2 * _LENGTH)) ** 2)
    return (correlation / correlation[0])[:_SIZE].astype(np.float32)
