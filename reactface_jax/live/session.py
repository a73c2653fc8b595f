"""One speaker and those who listen: a thread that looks, hears and answers, behind queues that never grow.

Pictures that come faster than they can be measured are left out, the oldest first; sound, and faces that were measured
elsewhere, are kept for ten seconds.
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

from reactface_jax.live import listening
from reactface_jax.live.clock import Chunk, SpeakerClock
from reactface_jax.live.eyes import Eyes, Sight
from reactface_jax.methods.listener.control import Control
from reactface_jax.methods.method import Inputs, StreamingMethod
from reactface_jax.types import FRAME_RATE

_PICTURES = 3
_BLOCKS = 500
_FACES = 10 * FRAME_RATE
_LARGEST = 4096
"""Side of a picture in pixels: what claims to be larger is not decoded."""
_AWAY = 2 * FRAME_RATE
"""Frames without a face after which it is said."""
_NO_FACE = "Your face is not seen; the listener goes on looking."


@dataclass(frozen=True)
class Settings:
    """What a viewer chooses; it acts from the next chunk on."""

    seed: int = 0
    control: Control = dataclasses.field(default_factory=Control)
    paused: bool = False
    hears: bool = True
    chosen: int = 0
    """Which reaction avatars get first."""


class Answer(NamedTuple):
    """A chunk, answered."""

    chunk: Chunk
    reactions: Float[np.ndarray, "K w C"]
    chosen: int
    left_out: int
    """Pictures since the beginning."""


def for_avatars(answer: Answer, count: int) -> Float[np.ndarray, "n w C"]:
    """`count` reactions of an answer, the chosen one first."""
    others = [k for k in range(len(answer.reactions)) if k != answer.chosen]
    return answer.reactions[[answer.chosen, *others][:count]]


class Status(NamedTuple):
    """What is to be said besides."""

    face: bool
    """Whether the speaker's face is seen."""
    says: str
    """A sentence for people; empty where all is well."""


class Session:
    """Answers one speaker. A context manager: its thread ends with it.

    Args:
      listener: who answers.
      num_reactions: K.
      settings: at the beginning.
      on_answer: called with each chunk's answer, from the session's thread.
      on_status: called once it is ready to look, and when what is to be said changes, from the same thread.
    """

    def __init__(
        self,
        listener: StreamingMethod,
        num_reactions: int,
        settings: Settings,
        on_answer: Callable[[Answer], None],
        on_status: Callable[[Status], None],
    ) -> None:
        self._listener, self._num_reactions = listener, num_reactions
        self._on_answer, self._on_status = on_answer, on_status
        self._settings, self._reset = settings, True
        self._pictures: deque[tuple[float, bytes | UInt8[np.ndarray, "H W 3"]]] = deque(maxlen=_PICTURES)
        self._faces: deque[tuple[float, Float[np.ndarray, 58] | None]] = deque(maxlen=_FACES)
        self._blocks: deque[tuple[float, Float[np.ndarray, " n"]]] = deque(maxlen=_BLOCKS)
        self._left_out = self._lost = 0
        self._says = ""
        self._ended = self._busy = False
        self._wake = threading.Condition()
        # No daemon: the interpreter waits for it instead of ending in the middle of its C++.
        self._thread = threading.Thread(target=self._run, name="listener")
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

    def add_face(self, face: Float[np.ndarray, "58"] | None, time: float) -> None:
        """Takes the speaker's face as it was measured elsewhere at `time` (s); None where there was none.

        For listeners who don't look at pictures themselves.
        """
        with self._wake:
            self._faces.append((time, face))
            self._wake.notify_all()

    def add_sound(self, samples: Float[np.ndarray, " n"], time: float) -> None:
        """Takes sound: mono at 16 kHz in [-1, 1], whose first sample sounded at `time` (s)."""
        with self._wake:
            self._blocks.append((time, samples))
            self._wake.notify_all()

    def change(self, settings: Settings, *, reset: bool = False) -> None:
        """Other settings from now on; with `reset`, or another seed, a new conversation."""
        with self._wake:
            self._reset |= reset or settings.seed != self._settings.seed
            self._settings = settings
            self._wake.notify_all()

    def wait_until_idle(self) -> None:
        """Returns when everything that came has been looked at and answered, or the thread has ended."""
        with self._wake:
            self._wake.wait_for(
                lambda: self._ended or not (self._pictures or self._faces or self._blocks or self._busy)
            )

    # ---- The thread

    def _run(self) -> None:
        try:
            with Eyes(listening.view_size(self._listener)) as eyes:
                self._on_status(Status(True, ""))
                self._answer_until_end(eyes)
        except Exception as error:
            self.error = error
            self._on_status(Status(False, str(error)))
        finally:
            with self._wake:
                self._ended = True
                self._wake.notify_all()

    def _answer_until_end(self, eyes: Eyes) -> None:
        clock = SpeakerClock(self._listener.chunk)
        state = None
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._ended or self._pictures or self._faces or self._blocks or self._reset)
                if self._ended:
                    return
                self._busy = True
                settings, reset, self._reset = self._settings, self._reset, False
                blocks, faces = [*self._blocks], [*self._faces]
                self._blocks.clear()
                self._faces.clear()
                picture = self._pictures.popleft() if self._pictures else None
            if reset:
                clock.restart()
                state = self._listener.start(self._num_reactions, jax.random.key(settings.seed))
            if settings.paused:
                clock.restart()
                continue
            if picture is not None:
                clock.add_sight(_look(eyes, picture[1]), picture[0])
            for time, face in faces:
                clock.add_sight(Sight(face, None), time)
            for time, samples in blocks:
                clock.add_sound(samples, time)
            while (chunk := clock.next_chunk(settings.hears)) is not None and not self._ended:
                sound = chunk.sound[None] if settings.hears else None
                views = None if chunk.views is None else chunk.views[None]
                inputs = Inputs(speaker=chunk.faces[None], audio=sound, video=views)
                state, reactions = listening.step(self._listener, settings.control, state, inputs)
                self._on_answer(Answer(chunk, reactions, settings.chosen, self._left_out))
                self._say_whether_seen(chunk)

    def _say_whether_seen(self, chunk: Chunk) -> None:
        self._lost = self._lost + len(chunk.faces) if np.isnan(chunk.faces).all() else 0
        says = _NO_FACE if self._lost >= _AWAY else ""
        if says != self._says:
            self._says = says
            self._on_status(Status(not says, says))


def _look(eyes: Eyes, picture: bytes | UInt8[np.ndarray, "H W 3"]) -> Sight:
    """What a picture shows; one that can't be read is black."""
    if isinstance(picture, np.ndarray):
        return eyes.look(picture)
    try:
        with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
            if max(image.size) <= _LARGEST:
                return eyes.look(np.asarray(image.convert("RGB")))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    return eyes.look(np.zeros((64, 64, 3), np.uint8))
