"""One speaker and those who listen: a thread that looks, hears and answers, behind queues that never grow.

Pictures that come faster than they can be measured are left out, the oldest first; sound is kept for ten seconds.
"""

import dataclasses
import io
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from reactface_jax.live.clock import Chunk, SpeakerClock
from reactface_jax.live.eyes import Eyes
from reactface_jax.methods.listener.control import Control
from reactface_jax.methods.listener.listener import Listener
from reactface_jax.methods.method import Inputs, StreamingMethod
from reactface_jax.types import FRAME_RATE

_PICTURES = 3
_BLOCKS = 500
_LARGEST = 4096
"""Side of a picture in pixels: what claims to be larger is not decoded."""
_AWAY = 2 * FRAME_RATE
"""Frames without a face after which it is said."""


@dataclass(frozen=True)
class Settings:
    """What a viewer chooses; it acts from the next chunk on."""

    reactions: int = 1
    seed: int = 0
    control: Control = dataclasses.field(default_factory=Control)
    paused: bool = False
    hears: bool = True


class Answer(NamedTuple):
    """A chunk, answered."""

    chunk: Chunk
    speaker: Float[np.ndarray, "w C"]
    reactions: Float[np.ndarray, "K w C"]


class Status(NamedTuple):
    """What is to be said besides."""

    face: bool
    """Whether the speaker's face is seen."""
    left_out: int
    """Pictures since the beginning."""
    says: str
    """A sentence for people; empty where all is well."""


class Session:
    """Answers one speaker. A context manager: its thread ends with it.

    Args:
      listener: who answers.
      settings: at the beginning.
      on_answer: called with each chunk's answer, from the session's thread.
      on_status: called once it is ready to look, and when what is to be said changes, from the same thread.
    """

    def __init__(
        self,
        listener: StreamingMethod,
        settings: Settings,
        on_answer: Callable[[Answer], None],
        on_status: Callable[[Status], None],
    ) -> None:
        self._listener, self._on_answer, self._on_status = listener, on_answer, on_status
        self._settings, self._reset = settings, True
        self._pictures: deque[tuple[float, bytes | UInt8[np.ndarray, "H W 3"]]] = deque(maxlen=_PICTURES)
        self._blocks: deque[tuple[float, Float[np.ndarray, " n"]]] = deque(maxlen=_BLOCKS)
        self._left_out = 0
        self._ended = self._busy = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self.error: Exception | None = None
        """What ended the thread early."""

    def __enter__(self) -> "Session":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._wake:
            self._ended = True
            self._wake.notify_all()
        self._thread.join(timeout=10)

    def add_picture(self, picture: bytes | UInt8[np.ndarray, "H W 3"], time: float) -> None:
        """Takes a picture of the speaker, RGB or a JPEG's bytes, taken at `time` (s)."""
        with self._wake:
            self._left_out += len(self._pictures) == _PICTURES
            self._pictures.append((time, picture))
            self._wake.notify_all()

    def add_sound(self, samples: Float[np.ndarray, " n"], time: float) -> None:
        """Takes sound: mono at 16 kHz in [-1, 1], whose first sample sounded at `time` (s)."""
        with self._wake:
            self._blocks.append((time, samples))
            self._wake.notify_all()

    def change(self, settings: Settings, *, reset: bool = False) -> None:
        """Other settings from now on; with `reset` a new conversation, as with another seed or number of reactions."""
        with self._wake:
            self._reset |= reset or (settings.reactions, settings.seed) != (
                self._settings.reactions,
                self._settings.seed,
            )
            self._settings = settings
            self._wake.notify_all()

    def wait_until_idle(self) -> None:
        """Returns when everything that came has been looked at and answered, or the thread has ended."""
        with self._wake:
            self._wake.wait_for(lambda: self._ended or not (self._pictures or self._blocks or self._busy))

    # ---- The thread

    def _run(self) -> None:
        try:
            with Eyes() as eyes:
                self._on_status(Status(True, 0, ""))
                self._answer_until_end(eyes)
        except Exception as error:
            self.error = error
            self._on_status(Status(False, self._left_out, str(error)))
        finally:
            with self._wake:
                self._ended = True
                self._wake.notify_all()

    def _answer_until_end(self, eyes: Eyes) -> None:
        clock = SpeakerClock(self._listener.chunk)
        state = None
        lost, said = 0, ""
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._ended or self._pictures or self._blocks or self._reset)
                if self._ended:
                    return
                self._busy = True
                settings, reset, self._reset = self._settings, self._reset, False
                blocks = [*self._blocks]
                self._blocks.clear()
                picture = self._pictures.popleft() if self._pictures else None
            if reset:
                clock.restart()
                state = self._listener.start(settings.reactions, jax.random.key(settings.seed))
                said = ""
            if settings.paused:
                clock.restart()
                continue
            if picture is not None:
                face = _look(eyes, picture[1])
                clock.add_face(face, picture[0])
            for time, samples in blocks:
                clock.add_sound(samples, time)
            while (chunk := clock.next_chunk(settings.hears)) is not None:
                assert state is not None
                listener = _controlled(self._listener, settings.control)
                sound = chunk.sound[None] if settings.hears else None
                state, answered = listener.step(state, Inputs(speaker=chunk.faces[None], audio=sound))
                reactions = np.asarray(answered[0])
                lost = lost + len(chunk.faces) if np.isnan(chunk.faces).all() else 0
                self._on_answer(Answer(chunk, chunk.faces, reactions))
                says = "Your face is not seen; the listener goes on looking." if lost >= _AWAY else ""
                if says != said:
                    said = says
                    self._on_status(Status(not says, self._left_out, says))


def _controlled(listener: StreamingMethod, control: Control) -> StreamingMethod:
    """The listener under these knobs; another method has none."""
    return dataclasses.replace(listener, control=control) if isinstance(listener, Listener) else listener


def _look(eyes: Eyes, picture: bytes | UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "58"] | None:
    """The face in a picture; none in one that can't be read."""
    if isinstance(picture, np.ndarray):
        return eyes.look(picture)
    try:
        with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
            if max(image.size) > _LARGEST:
                return None
            return eyes.look(np.asarray(image.convert("RGB")))
    except (OSError, ValueError, SyntaxError):
        return None
