"""One direction of a conversation, read from the raw tree: everything that an example of a shard holds.

Knows no TensorFlow, so that worker processes start quickly.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16, UInt8
from PIL import Image

from data_pipeline.raw_tree.clip_arrays import NUM_ATTRIBUTES, read_attributes, read_coefficients
from data_pipeline.raw_tree.react2023 import Person
from data_pipeline.shards.remote import AnyPath
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import iterate_video
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE

JPEG_QUALITY = 90
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a damaged picture."""
# Video, sound and coefficients of a clip may differ by a frame or two (750, 751, 752); more means a wrong file.
_TOLERANCE = FRAME_RATE  # frames


@dataclass(frozen=True)
class Clip:
    """A speaker with the listener's coefficients; T is the shortest of video and coefficients.

    In a tree without pictures there are no frames, their size is 0, 0, and the portrait is one black pixel.
    """

    speaker_id: str
    listener_id: str
    frames: list[bytes]  # T JPEGs, or none
    size: tuple[int, int]  # height and width of the frames
    audio: Int16[np.ndarray, " L"]  # 16 kHz, the whole file, whatever its length: the model normalises over all of it
    speaker: Float[np.ndarray, "T 58"]
    listener: Float[np.ndarray, "T 58"]
    speaker_attributes: Float[np.ndarray, "T_or_0 25"]  # no rows where the tree has no Emotion file
    listener_attributes: Float[np.ndarray, "T_or_0 25"]
    portrait: bytes  # the listener's first frame, JPEG


def read_clip(speaker: Person, listener: Person) -> Clip:
    """Reads one direction.

    Raises:
      UserError: a file is damaged, or a clip's video, sound and coefficients differ by more than a second.
    """
    frames: list[bytes] = []
    size, portrait = (0, 0), np.zeros((1, 1, 3), np.uint8)
    lengths: dict[AnyPath, int] = {}
    if speaker.video is not None and listener.video is not None:
        frames, size = _encode_frames(speaker.video)
        lengths[speaker.video] = len(frames)
        portrait = next(iterate_frames(listener.video))
    coefficients, attributes = {}, {}
    for person in (speaker, listener):
        coefficients[person] = read_coefficients(person.coefficients)
        lengths[person.coefficients] = len(coefficients[person])
        attributes[person] = np.zeros((0, NUM_ATTRIBUTES), np.float32)
        if person.attributes is not None:
            attributes[person] = read_attributes(person.attributes)
            lengths[person.attributes] = len(attributes[person])
    length = common_length(lengths)
    return Clip(
        speaker_id=speaker.id,
        listener_id=listener.id,
        frames=frames[:length],
        size=size,
        audio=_samples(speaker.audio, lengths),
        speaker=coefficients[speaker][:length],
        listener=coefficients[listener][:length],
        speaker_attributes=attributes[speaker][:length],
        listener_attributes=attributes[listener][:length],
        portrait=jpeg(portrait),
    )


def iterate_frames(video: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Yields the frames of an mp4 at 25 fps, or of a folder of 1.png, 2.png, ..., RGB.

    Raises:
      UserError: the video can't be read, or a number is missing in the folder.
    """
    if not video.is_dir():
        yield from iterate_video(video, FRAME_RATE)
        return
    for path in frame_files(video):
        try:
            with Image.open(path) as image:
                yield np.asarray(image.convert("RGB"))
        except UNREADABLE as error:
            raise UserError(f"{path} is not a png; unpack the frames again") from error


def frame_files(folder: Path) -> list[Path]:
    """1.png, 2.png, ... of a folder, or from 0.png, in the numbers' order. Raises `UserError` unless all are there."""
    numbered = [path for path in folder.glob("*.png") if path.stem.isdecimal()]
    paths = {int(path.stem): path for path in numbered}
    if not paths:
        raise UserError(f"{folder} has no numbered png; unpack its frames again")
    if len(paths) < len(numbered):
        raise UserError(f"{folder} has two files of one number, such as 1.png and 01.png; unpack its frames again")
    for number in range(min(1, *paths), max(paths) + 1):
        if number not in paths:
            raise UserError(f"{folder} has no {number}.png; unpack its frames again")
    return [paths[number] for number in sorted(paths)]


def common_length(lengths: dict[AnyPath, int]) -> int:
    """The shortest of a clip's files (frames). Raises `UserError` when they differ by too much to be one clip's."""
    shortest = min(lengths, key=lambda path: lengths[path])
    longest = max(lengths, key=lambda path: lengths[path])
    if lengths[longest] - lengths[shortest] > _TOLERANCE:
        raise UserError(
            f"{shortest} has {lengths[shortest]} frames, but {longest} of the same clip has {lengths[longest]}; "
            "replace the wrong one or take the pair out of the csv"
        )
    return lengths[shortest]


def check_duration(audio: AnyPath, seconds: float, lengths: dict[AnyPath, int]) -> None:
    """Raises `UserError` when a clip's sound is too short or too long to be of the same clip as its other files.

    Args:
      audio: the sound.
      seconds: its length.
      lengths: of the clip's other files (frames).
    """
    shortest, longest = min(lengths.values()), max(lengths.values())
    nearest = min(max(seconds * FRAME_RATE, shortest), longest)
    if abs(seconds * FRAME_RATE - nearest) > _TOLERANCE:
        raise UserError(
            f"{audio} lasts {seconds:.2f} s, but its clip {nearest / FRAME_RATE:.2f} s; replace it or take the pair "
            "out of the csv"
        )


def _encode_frames(video: Path) -> tuple[list[bytes], tuple[int, int]]:
    size = (0, 0)
    frames: list[bytes] = []
    for frame in iterate_frames(video):
        if frames and frame.shape[:2] != size:
            raise UserError(f"{video} changes its frame size within the clip; convert it to one size")
        size = (frame.shape[0], frame.shape[1])
        frames.append(jpeg(frame))
    return frames, size


def jpeg(frame: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A picture as the shards hold it."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _samples(path: Path, lengths: dict[AnyPath, int]) -> Int16[np.ndarray, " L"]:
    audio = read_audio(path, SAMPLE_RATE)
    check_duration(path, len(audio) / SAMPLE_RATE, lengths)
    return as_integers(audio)


def as_integers(audio: Float[np.ndarray, " L"]) -> Int16[np.ndarray, " L"]:
    """Sound as the shards hold it."""
    return np.clip(np.round(audio * 32768), -32768, 32767).astype(np.int16)
