"""A live conversation: frames and samples as they arrive, at any rate, with gaps; reactions window by window."""

from collections import deque
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from reactface_jax.errors import UserError
from reactface_jax.models.reactface import ReactFace
from reactface_jax.online import stream
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE, SAMPLES_PER_FRAME

_EARLY = 1e-3
"""A frame is taken this much before its time (s): clocks round."""
_DRIFT = 0.02
"""Sound whose timestamps are off by less is taken as continuous (s)."""
_HEARD_BEFORE = 10.0
"""Sound that is kept while no frame has come (s)."""


class Conversation:
    """Reacts to one speaker.

    Time is what the timestamps say, in seconds on any clock that frames and sound share; nothing here looks at the
    machine's clock, so the same input gives the same reactions however it arrives in pieces.

    - It begins with the first frame. Sound from before that is dropped.
    - The model's frame i is the last one shown by 40 ms * i: frames are repeated or left out, never blended.
    - Sound is averaged to mono and brought to 16 kHz. A gap in its timestamps is silence; an overlap is dropped.
    - A window is answered when frames and sound reach its end. If one of them stays `patience` behind the other, it is
      answered without: the last frame stays, missing sound is silence. What comes later for a time that was answered
      is dropped.
    """

    def __init__(
        self,
        model: ReactFace,
        params: PyTree,
        *,
        num_reactions: int = 1,
        image_size: int = 224,
        mean_face: Float[np.ndarray, " C"] | None = None,
        patience: float = 0.5,
        seed: int = 0,
    ) -> None:
        """Begins a conversation.

        Args:
          model: from `build_model`, causal.
          params: its parameters.
          num_reactions: K.
          image_size: of the frames, `data.image_size` of the training.
          mean_face: added to the coefficients (a run's `mean_face`); None: they are relative to it.
          patience: how long frames wait for sound and sound for frames (s of their timestamps).
          seed: of the noise that makes reactions differ.

        Raises:
          UserError: the model is not causal.
        """
        self._model, self._params, self._patience = model, params, patience
        self._num_reactions, self._image_size = num_reactions, image_size
        self._mean_face = np.zeros(NUM_COEFFICIENTS, np.float32) if mean_face is None else mean_face
        self._key = jax.random.key(seed)
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next frame begins a new conversation."""
        self._state = stream.start(self._model, self._params, 1, self._num_reactions, image_size=self._image_size)
        self._restart_clock()

    def _restart_clock(self) -> None:
        self._begin: float | None = None  # timestamp of frame `_first`
        self._first = int(self._state.frame[0])
        self._frames: deque[tuple[float, UInt8[np.ndarray, "H W 3"]]] = deque()
        self._newest_frame = -np.inf
        self._sound = _Sound()
        self._early: list[tuple[float, Float[np.ndarray, " n"], int]] = []
        self._clock = 0.0  # where sound without timestamps goes on

    @property
    def num_frames(self) -> int:
        """Frames at 25 fps that were answered since the beginning."""
        return int(self._state.frame[0])

    def add_frame(self, picture: UInt8[np.ndarray, "H W 3"], time: float) -> None:
        """Takes a picture of the speaker, cropped and resized as in training (`face.model_frame`).

        Args:
          picture: RGB.
          time: when it was taken (s). Frames that are older than one that came before are dropped.

        Raises:
          UserError: the picture's size is not `image_size`.
        """
        if picture.shape != (self._image_size, self._image_size, 3):
            raise UserError(
                f"the picture is {picture.shape}; this conversation takes {self._image_size} x {self._image_size} RGB"
            )
        if time <= self._newest_frame:
            return
        self._frames.append((time, picture))
        self._newest_frame = time
        if self._begin is None:
            self._begin = time
            for early in self._early:
                self._place_sound(*early)
            self._early.clear()

    def add_sound(self, samples: Float[np.ndarray, "n *channels"], rate: int, time: float | None = None) -> None:
        """Takes sound.

        Args:
          samples: mono [n] or [n, channels], in [-1, 1]; NaN counts as silence.
          rate: samples per second, the same throughout.
          time: when the first of them sounded (s); None: they follow those before without a gap.
        """
        mono = np.nan_to_num(np.asarray(samples, np.float32))
        mono = mono if mono.ndim == 1 else mono.mean(axis=1)
        time = self._clock if time is None else time
        self._clock = time + len(mono) / rate
        if self._begin is not None:
            self._place_sound(time, mono, rate)
            return
        self._early.append((time, mono, rate))
        while self._early[0][0] < self._clock - _HEARD_BEFORE:
            self._early.pop(0)

    def _place_sound(self, time: float, mono: Float[np.ndarray, " n"], rate: int) -> None:
        assert self._begin is not None
        self._sound.add(time - self._begin, mono, rate)

    def react(self) -> list[Float[np.ndarray, "K w C"]]:
        """Answers every window that can be answered now: coefficients at 25 fps."""
        answers: list[np.ndarray] = []
        while (window := self._next_window()) is not None:
            video, audio = window
            number = self.num_frames // self._model.config.window
            self._state, reaction = stream.step(
                self._model,
                self._params,
                self._state,
                jnp.asarray(video)[None] / 127.5 - 1.0,
                audio[None],
                key=jax.random.fold_in(self._key, number),
            )
            answers.append(np.asarray(reaction[0], np.float32) + self._mean_face)
        return answers

    def _next_window(self) -> tuple[UInt8[np.ndarray, "w H W 3"], Float[np.ndarray, " L"]] | None:
        """Frames and samples of the next window; None if they are still awaited."""
        if self._begin is None:
            return None
        width, start = self._model.config.window, self.num_frames - self._first
        times = self._begin + (start + np.arange(width)) / FRAME_RATE
        end, samples = self._begin + (start + width) / FRAME_RATE, (start + width) * SAMPLES_PER_FRAME
        seen = self._newest_frame >= times[-1] - _EARLY
        heard = self._sound.end >= samples
        patient_frames = self._newest_frame < end + self._patience
        patient_sound = self._begin + self._sound.end / SAMPLE_RATE < end + self._patience
        if not ((seen and heard) or (seen and not patient_frames) or (heard and not patient_sound)):
            return None
        return np.stack([self._picture(time) for time in times]), self._sound.take(samples)

    def _picture(self, time: float) -> UInt8[np.ndarray, "H W 3"]:
        while len(self._frames) > 1 and self._frames[1][0] <= time + _EARLY:
            self._frames.popleft()
        return self._frames[0][1]

    def save(self, path: str | Path) -> None:
        """Writes what the model remembers (.npz). What has not been answered yet is not in it.

        Raises:
          UserError: the file can't be written.
        """
        stream.save(path, self._state)

    def restore(self, path: str | Path) -> None:
        """Goes on from a saved conversation; its next window begins with the next frame, whatever the time.

        Raises:
          UserError: the file is missing, damaged, or of another model or number of reactions.
        """
        self._state = stream.load(path, self._state)
        self._restart_clock()


class _Sound:
    """Sound of a conversation at 16 kHz, numbered from its beginning: taken from the front, added at the back."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._taken = 0
        self._resampler: Any = None  # soxr.ResampleStream
        self._rate = 0
        self._fed = 0  # samples at their own rate, silence included
        self.end = 0
        """Samples that are there, taken ones included."""

    def add(self, time: float, mono: Float[np.ndarray, " n"], rate: int) -> None:
        """Adds sound that begins at `time` (s)."""
        if self._rate not in (0, rate):
            raise UserError(f"sound comes at {rate} samples a second after {self._rate}; reset the conversation first")
        gap = round(time * rate) - self._fed
        if self._rate == 0 or abs(gap) > _DRIFT * rate:
            if gap < 0:
                mono = mono[-gap:]
            elif gap > 0 or self._rate == 0:
                self._jump(round(time * rate), rate)
        self._fed += len(mono)
        self._append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def _jump(self, fed: int, rate: int) -> None:
        """Silence up to sample `fed` of the source, without making that of a time that was answered already."""
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        if rate != SAMPLE_RATE:
            import soxr  # of the extra "render"; sound at 16 kHz needs it not

            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
        end = round(fed * SAMPLE_RATE / rate)
        self._rate, self._fed = rate, fed
        self.end = min(max(self.end, self._taken), end)
        self._append(np.zeros(end - self.end, np.float32))

    def _append(self, mono: Float[np.ndarray, " n"]) -> None:
        late = min(max(self._taken - self.end, 0), len(mono))  # its time was answered with silence
        self.end += len(mono)
        self._samples = np.concatenate([self._samples, mono[late:]])

    def take(self, end: int) -> Float[np.ndarray, " L"]:
        """The samples up to number `end`; those that are missing are silence."""
        length = end - self._taken
        taken, self._samples = self._samples[:length], self._samples[length:]
        self._taken = end
        return np.pad(taken, (0, length - len(taken)))
