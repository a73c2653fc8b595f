"""A live conversation: frames and samples as they arrive, at any rate, with gaps; reactions window by window."""

from collections import deque
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from reactface_jax.errors import UserError
from reactface_jax.models.reactface import ReactFace
from reactface_jax.online import stream
from reactface_jax.online.live_sound import LiveSound, check_sound
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE, SAMPLES_PER_FRAME

_EARLY = 1e-3
"""A frame is taken this much before its time (s): clocks round."""
LONGEST_JUMP = 5.0
"""A time that is further after all that came, or before what came last, is refused (s)."""
_HEARD_BEFORE = 10.0
"""Sound that is kept while no frame has come (s)."""
_ANOTHER_CLOCK = 3600.0
"""A first frame that is older than the sound by more than this has another clock (s)."""


class Conversation:
    """Reacts to one speaker.

    Time is what the timestamps say, in seconds on any clock that frames and sound share; nothing here looks at the
    machine's clock, so the same input gives the same reactions however it arrives in pieces.

    - It begins with the first frame. Sound from before that is dropped.
    - The model's frame i is the last one shown by 40 ms * i: frames are repeated or left out, never blended.
    - Sound is averaged to mono (`Mono`) and brought to 16 kHz. A gap in its timestamps is silence; an overlap is
      dropped.
    - A window is answered when frames and sound reach its end. If one of them stays `patience` behind the other, it is
      answered without: the last frame stays, missing sound is silence. What comes later for a time that was answered
      is dropped.
    - A time that jumps by more than `LONGEST_JUMP` either way is refused, and changes nothing.
    """

    def __init__(
        self,
        model: ReactFace,
        params: PyTree,
        *,
        num_reactions: int = 1,
        image_size: int = 224,
        mean_face: Float[np.ndarray, " C"] | None = None,
        patience: int | float = 0.5,
        seed: int = 0,
    ) -> None:
        """Begins a conversation.

        Args:
          model: from `build_model`, causal.
          params: its parameters.
          num_reactions: K.
          image_size: of the frames, `data.image_size` of the training (a run's `config.data.image_size`).
          mean_face: added to the coefficients (a run's `mean_face`); None: they are relative to it.
          patience: how long frames wait for sound and sound for frames (s of their timestamps).
          seed: of the noise that makes reactions differ.

        Raises:
          UserError: the model is not causal, there is no reaction, the patience is no time, or the mean face is not of
            the model's coefficients.
        """
        if not 0 <= patience < np.inf:
            raise UserError(f"a patience of {patience} s is no time to wait; give seconds from 0 on")
        self._model, self._params, self._patience = model, params, patience
        self._num_reactions, self._image_size = num_reactions, image_size
        if mean_face is not None and np.shape(mean_face) != (NUM_COEFFICIENTS,):
            raise UserError(
                f"mean_face has shape {np.shape(mean_face)}, but the model answers {NUM_COEFFICIENTS} coefficients; "
                "give the mean_face of its run, or None"
            )
        self._mean_face = np.zeros(NUM_COEFFICIENTS, np.float32) if mean_face is None else mean_face
        self._key = jax.random.key(seed)
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next frame begins a new conversation."""
        self._state = stream.start(self._model, self._params, 1, self._num_reactions, image_size=self._image_size)
        self._restart_clock()

    def _restart_clock(self) -> None:
        self._begin: int | float | None = None  # timestamp of frame `_first`
        self._first = int(self._state.frame[0])
        self._frames: deque[tuple[float, UInt8[np.ndarray, "H W 3"]]] = deque()
        self._newest_frame = -np.inf
        self._sound = LiveSound()
        self._early: deque[tuple[float, Float[np.ndarray, "_ _"], int]] = deque()
        self._heard_to: int | float | None = None  # where the sound ends; without a timestamp it goes on there
        self._sound_awaits_frame = False  # sound without a timestamp begins with the first frame

    @property
    def num_frames(self) -> int:
        """Frames at 25 fps that were answered since the beginning."""
        return int(self._state.frame[0])

    def add_frame(self, picture: np.ndarray, time: int | float) -> None:
        """Takes a picture of the speaker, cropped and resized as in training (`face.model_frame`).

        Args:
          picture: uint8 [image_size, image_size, 3], RGB from 0 to 255. It is copied, so its memory may be used again.
          time: when it was taken (s). Frames that are a little older than one that came before are dropped.

        Raises:
          UserError: the picture has another size or type, or the time is no number or jumps (`LONGEST_JUMP`).
        """
        picture, size = np.asarray(picture), self._image_size
        if picture.shape != (size, size, 3):
            raise UserError(
                f"the picture is {picture.shape}; this conversation takes {size} x {size} RGB; give image_size= of the "
                "training"
            )
        if picture.dtype != np.uint8:
            raise UserError(f"the picture is {picture.dtype}; give uint8 RGB from 0 to 255")
        self._check_time("frame", time, self._newest_frame)
        if time <= self._newest_frame:
            return
        self._frames.append((time, picture.copy()))
        self._newest_frame = time
        if self._begin is None:
            self._begin_at(time)

    def add_sound(self, samples: np.ndarray, rate: int | float, time: int | float | None = None) -> None:
        """Takes sound.

        Args:
          samples: floating-point, mono [n] or [n, channels], in [-1, 1]; NaN and infinite ones count as silence.
          rate: samples per second, the same throughout.
          time: when the first of them sounded (s); None: they follow those before without a gap, the first ones begin
            with the first frame.

        Raises:
          UserError: samples or rate are none of a sound, the rate changes, or the time is no number or jumps.
        """
        channels, rate = check_sound(samples, rate)
        if time is None:
            self._sound_awaits_frame |= self._heard_to is None and self._begin is None
            time = (self._begin or 0.0) if self._heard_to is None else self._heard_to
        else:
            self._check_time("sound", time, -np.inf if self._heard_to is None else self._heard_to)
            if self._sound_awaits_frame and self._begin is None:  # it has a clock after all
                self._early.clear()
                self._sound_awaits_frame = False
        if self._early and self._early[-1][2] != rate:
            raise UserError(
                f"sound comes at {rate} samples a second after {self._early[-1][2]}; reset the conversation first"
            )
        ends = time + channels.shape[1] / rate
        if self._begin is not None:
            self._sound.add(time - self._begin, channels, rate)
        else:
            self._early.append((time, channels, rate))
            while self._early[0][0] + self._early[0][1].shape[1] / self._early[0][2] < ends - _HEARD_BEFORE:
                self._early.popleft()
        self._heard_to = ends

    def _check_time(self, what: str, time: int | float, newest: float) -> None:
        """Refuses a time that can't be of this conversation, before anything of it is taken."""
        if not np.isfinite(time):
            raise UserError(f"the {what}'s time is {time}; give seconds on the clock that frames and sound share")
        heard = -np.inf if self._heard_to is None or self._sound_awaits_frame else self._heard_to
        now = max(self._newest_frame, heard)
        if self._begin is not None and time > now + LONGEST_JUMP:
            ahead, direction = time - now, "after everything before it"
        elif time < newest - LONGEST_JUMP:
            ahead, direction = newest - time, f"before the last {what}"
        elif self._begin is None and heard > time + _ANOTHER_CLOCK:
            ahead, direction = heard - time, "before the sound that came"
        else:
            return
        raise UserError(
            f"the {what}'s time {time:g} is {ahead:g} s {direction}; give seconds on one clock, or begin a new "
            "conversation with reset()"
        )

    def _begin_at(self, time: int | float) -> None:
        self._begin = time
        if self._sound_awaits_frame and self._heard_to is not None:
            self._early = deque((time + start, channels, rate) for start, channels, rate in self._early)
            self._heard_to += time
            self._sound_awaits_frame = False
        for start, channels, rate in self._early:
            self._sound.add(start - time, channels, rate)
        self._early.clear()

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
                to_unit_range(video)[None],
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
