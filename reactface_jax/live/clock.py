"""Faces and sound of one speaker, as they arrive, cut into chunks of 25 frames a second.

Time is what the timestamps say, in seconds on a clock that pictures and sound share; nothing here looks at the
machine's clock. Frame i is the last picture at 40 ms x i after the first one; a face that is not found, or no picture
for half a second, is a face that was lost (NaN). Sound that is missing is silence. A chunk is given once pictures and
sound reach its end; if one of them is `patience` behind the other, without it.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.live.eyes import Sight
from reactface_jax.online.live_sound import LiveSound, check_sound
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE, SAMPLES_PER_FRAME

_EARLY = 2e-3
"""A picture is taken this much before its time (s): clocks round."""
_STALE = 0.5
"""Age at which a picture no longer says where the face is (s)."""
LONGEST_JUMP = 5.0
"""Of the time from one piece to the next (s). After a longer one, and when time runs back so far, it begins anew."""


class Chunk(NamedTuple):
    """What is known of the speaker in some frames."""

    number: int
    """Of the first frame since the conversation began."""
    end: float
    """Time of the newest piece in it (s, of the timestamps)."""
    faces: Float[np.ndarray, "w 58"]
    """NaN where the face was lost."""
    sound: Float[np.ndarray, " L"]
    """At 16 kHz, in [-1, 1]."""
    views: UInt8[np.ndarray, "w H W 3"] | None
    """The last one seen at each frame; None where none come."""


class SpeakerClock:
    """Puts what arrives in its place.

    Args:
      chunk: w, frames that are given at once.
      patience: how long pictures wait for sound and sound for pictures (s).
    """

    def __init__(self, chunk: int, patience: float = 0.15) -> None:
        self._chunk, self._patience = chunk, patience
        self.restart()

    def restart(self) -> None:
        """Forgets what has not been given; numbers begin at 0 with the next picture."""
        self._begin: float | None = None
        self._given = 0
        self._seen: deque[tuple[float, Sight]] = deque(maxlen=10 * FRAME_RATE)
        self._sound = LiveSound()
        self._newest_face = self._newest_sound = -np.inf

    def add_sight(self, sight: Sight, time: float) -> None:
        """Takes what a picture shows. A picture older than the one before is left out."""
        if not np.isfinite(time):
            return
        if self._begin is not None and self._jumps(time):
            self.restart()
        if time <= self._newest_face:
            return
        if self._begin is None:
            self._begin = time
        self._seen.append((time, sight))
        self._newest_face = time

    def add_sound(self, samples: Float[np.ndarray, " n"], time: float) -> None:
        """Takes sound at 16 kHz whose first sample sounded at `time`; from before the first picture it is dropped."""
        if self._begin is None or not np.isfinite(time) or self._jumps(time):
            return
        channels, rate = check_sound(samples, SAMPLE_RATE)
        self._sound.add(time - self._begin, channels, rate)
        self._newest_sound = self._begin + self._sound.end / SAMPLE_RATE

    def next_chunk(self, hears: bool = True) -> Chunk | None:
        """The next frames, or None while they are awaited. Without `hears` no sound is awaited."""
        if self._begin is None:
            return None
        times = self._begin + (self._given + np.arange(self._chunk)) / FRAME_RATE
        end = float(times[-1]) + 1 / FRAME_RATE
        seen = self._newest_face >= times[-1] - _EARLY
        heard = self._sound.end >= (self._given + self._chunk) * SAMPLES_PER_FRAME or not hears
        late_sound = self._newest_face >= end + self._patience
        late_face = self._newest_sound >= end + self._patience
        if not (seen and heard) and not (seen and late_sound) and not (heard and late_face):
            return None
        faces, views = zip(*map(self._frame_at, times.tolist()), strict=True)
        number, self._given = self._given, self._given + self._chunk
        newest = max(min(self._newest_face, end), min(self._newest_sound, end) if hears else -np.inf)
        sound = self._sound.take(self._given * SAMPLES_PER_FRAME)
        return Chunk(number, newest, np.stack(faces), sound, None if views[0] is None else np.stack(views))

    def _jumps(self, time: float) -> bool:
        newest = max(self._newest_face, self._newest_sound)
        return abs(time - newest) > LONGEST_JUMP

    def _frame_at(self, time: float) -> tuple[Float[np.ndarray, "58"], UInt8[np.ndarray, "H W 3"] | None]:
        """Coefficients and view."""
        while len(self._seen) > 1 and self._seen[1][0] <= time + _EARLY:
            self._seen.popleft()
        shown, sight = self._seen[0]
        if sight.face is None or time - shown > _STALE:
            return np.full(NUM_COEFFICIENTS, np.nan, np.float32), sight.view
        return sight.face, sight.view
