"""Videos of a study: the speaker, and beside him the listener, with the speaker's voice."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.media.audio import read_audio
from reactface_jax.media.open_media import audio_track, open_media
from reactface_jax.media.video import VideoWriter, iterate_video, resize
from reactface_jax.study.sources import EvaluationPage, Folder

SIDE = 320
"""Height and width of each person, pixels."""


@runtime_checkable
class Speakers(Protocol):
    """The people that the listeners listen to."""

    @contextmanager
    def open(self, clip: str) -> Iterator[tuple[Iterator[UInt8[np.ndarray, "H W 3"]], Float[np.ndarray, " L"] | None]]:
        """Pictures of a clip's speaker at 25 fps, and his voice at 16 kHz if there is one."""
        ...


class FilmedSpeakers:
    """A folder of videos."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @contextmanager
    def open(self, clip: str) -> Iterator[tuple[Iterator[UInt8[np.ndarray, "H W 3"]], Float[np.ndarray, " L"] | None]]:
        path = self._folder.files[clip]
        yield iterate_video(path), _voice(path)


class RecordedSpeakers:
    """The left halves of an evaluation's recordings."""

    def __init__(self, page: EvaluationPage) -> None:
        self._page = page

    @contextmanager
    def open(self, clip: str) -> Iterator[tuple[Iterator[UInt8[np.ndarray, "H W 3"]], Float[np.ndarray, " L"] | None]]:
        with self._page.recording(clip) as path:
            yield (frame[:, : frame.shape[1] // 2] for frame in iterate_video(path)), _voice(path)


def _voice(path: Path) -> Float[np.ndarray, " L"] | None:
    with open_media(path) as container:
        has_sound = audio_track(container) is not None
    return read_audio(path) if has_sound else None


def compose(
    speakers: Speakers,
    clip: str,
    listener: Iterable[UInt8[np.ndarray, "H W 3"]],
    path: Path,
    most_frames: int | None = None,
) -> int:
    """Writes one video and returns its number of frames: as many as the shorter of both people has.

    Args:
      speakers: who is on the left.
      clip: of the speaker.
      listener: pictures at 25 fps.
      path: the mp4.
      most_frames: what is longer is cut.

    Raises:
      UserError: a video can't be read or written.
    """
    count = 0
    with speakers.open(clip) as (speaker, voice), VideoWriter(path, size=(SIDE, 2 * SIDE), audio=voice) as writer:
        for pair in itertools.islice(zip(speaker, listener, strict=False), most_frames):
            writer.write(np.concatenate([in_square(frame) for frame in pair], axis=1))
            count += 1
    return count


def in_square(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H H 3"]:
    """A picture as large as fits into the square, in its own proportions, with black beside it."""
    height, width = frame.shape[:2]
    longest = max(height, width)
    fitted = resize(np.asarray(frame), (max(1, SIDE * height // longest), max(1, SIDE * width // longest)))
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = (SIDE - fitted.shape[0]) // 2, (SIDE - fitted.shape[1]) // 2
    square[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return square
