"""Several channels of sound as one, also where they cancel each other."""

import numpy as np
from jaxtyping import Float

from reactface_jax.types import SAMPLE_RATE

_MEMORY = 1.0
"""Time constant of the channels' running energies (s)."""
_CANCELLED = 0.25
"""Channels cancel each other where their average has less than this share of what unrelated ones would leave."""
_PRESENT = 0.25
"""A channel counts as present with this share of the loudest one's energy."""
_WILD = 1e6
"""Samples are cut to this: their sum and square stay finite."""


class Mono:
    """Averages channels, sample by sample; where they cancel each other, takes one of them.

    A balanced microphone on a stereo jack gives the same sound twice, once inverted: the average is silence. Of n
    unrelated channels, the average has 1 / n of their mean energy. Where it has less than a quarter of that, the first
    channel stands for all. Energies are running means over a second that look back only, so that the result
    does not depend on the pieces in which the sound comes.

    Args:
      rate: samples per second.
    """

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        self._keep = float(np.exp(-1 / (_MEMORY * rate)))
        self._energies = np.zeros((0, 1))

    def mix(self, channels: Float[np.ndarray, "C n"]) -> Float[np.ndarray, " n"]:
        """The next samples of one channel; NaN and infinite samples count as silence."""
        channels = np.where(np.isfinite(channels), channels, 0).clip(-_WILD, _WILD).astype(np.float32)
        average = channels.mean(axis=0)
        count = len(channels)
        if count == 1:
            return average
        from scipy.signal import lfilter  # which takes long to import, and most sound has one channel

        if len(self._energies) != count + 1:
            self._energies = np.zeros((count + 1, 1))
        squares = np.square(np.vstack([channels, average]).astype(np.float64))
        energies, self._energies = lfilter([1.0], [1.0, -self._keep], squares, axis=1, zi=self._energies)
        separate, mixed = energies[:-1], energies[-1]
        cancelled = mixed * count < _CANCELLED * separate.mean(axis=0)
        if not cancelled.any():
            return average
        first = np.argmax(separate >= _PRESENT * separate.max(axis=0), axis=0)
        return np.where(cancelled, np.take_along_axis(channels, first[None], axis=0)[0], average)
