"""The sound of a live conversation: pieces of any length and rate, placed by their times, as samples at 16 kHz."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.media.mono import Mono
from reactface_jax.types import SAMPLE_RATE

if TYPE_CHECKING:
    import soxr

DRIFT = 0.02
"""Sound whose timestamps are off by less is taken as continuous (s)."""
_RATES = (1000, 1_000_000)
"""Samples per second, from and to; 48 are kilohertz."""
_MOST_CHANNELS = 64


class LiveSound:
    """Sound of a conversation at 16 kHz, numbered from its beginning: taken from the front, added at the back."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._taken = 0
        self._resampler: soxr.ResampleStream | None = None
        self._mono = Mono()
        self._rate = 0
        self._fed = 0  # samples at their own rate, silence included
        self._follows = False  # whether the piece before was taken: then small differences of time are clocks' noise
        self.end = 0
        """Samples that are there, taken ones included."""

    def add(self, time: int | float, channels: Float[np.ndarray, "C n"], rate: int) -> None:
        """Adds sound that begins at `time` (s after the conversation); what lies before, or was given, is dropped.

        Raises:
          UserError: the rate is not that of the sound before.
        """
        if self._rate not in (0, rate):
            raise UserError(f"sound comes at {rate} samples a second after {self._rate}; reset the conversation first")
        if self._rate == 0:
            self._rate, self._mono, self._resampler = rate, Mono(rate), _resampler(rate)
        mono = self._mono.mix(channels)
        gap = round(time * rate) - self._fed
        if not self._follows or abs(gap) > DRIFT * rate:
            if gap > 0:
                self._jump(self._fed + gap)
            mono = mono[max(-gap, 0) :]
        self._follows = len(mono) > 0
        self._fed += len(mono)
        self._append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def take(self, end: int) -> Float[np.ndarray, " L"]:
        """The samples up to number `end`; those that are missing are silence."""
        length = end - self._taken
        taken, self._samples = self._samples[:length], self._samples[length:]
        self._taken = end
        return np.pad(taken, (0, length - len(taken)))

    def _jump(self, fed: int) -> None:
        """Silence up to sample `fed` of the source, without making that of a time that was answered already."""
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._resampler = _resampler(self._rate)
        self._fed, end = fed, round(fed * SAMPLE_RATE / self._rate)
        if self.end > end:  # the converter rounded up
            self._samples = self._samples[: len(self._samples) - (self.end - end)]
        self.end = min(max(self.end, self._taken), end)
        self._append(np.zeros(end - self.end, np.float32))

    def _append(self, mono: Float[np.ndarray, " n"]) -> None:
        late = min(max(self._taken - self.end, 0), len(mono))  # its time was answered with silence
        self.end += len(mono)
        self._samples = np.concatenate([self._samples, mono[late:]])


def check_sound(samples: np.ndarray, rate: int | float) -> tuple[Float[np.ndarray, "C n"], int]:
    """A copy of a piece of sound, a row a channel, and its rate as a whole number.

    NaN and infinite samples are silence, others are cut to [-1, 1].

    Raises:
      UserError: the samples are no floating-point [n] or [n, channels], or the rate is none.
    """
    if not (_RATES[0] <= rate <= _RATES[1] and rate == int(rate)):
        raise UserError(f"a rate of {rate} samples a second is none of a sound; give a whole number such as 48000")
    samples = np.asarray(samples)
    if samples.dtype.kind != "f":
        raise UserError(f"the samples are {samples.dtype}; give floating-point ones in [-1, 1], 16 bits over 32768")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= _MOST_CHANNELS):
        raise UserError(f"the samples have shape {samples.shape}; give [n] or [n, channels]")
    channels = np.where(np.isfinite(samples), samples, 0).reshape(len(samples), -1).T
    return np.clip(channels, -1.0, 1.0).astype(np.float32), int(rate)


def _resampler(rate: int) -> "soxr.ResampleStream | None":
    if rate == SAMPLE_RATE:
        return None
    import soxr  # of the extra "render"; sound at 16 kHz needs it not

    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
