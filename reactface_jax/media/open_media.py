"""Opening a media file with PyAV, its tracks, and the sentence its user reads when that fails."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from reactface_jax.errors import UserError

# Playlists name other files and addresses: FFmpeg may follow them on the disk, never into a network.
_PROTOCOLS = {"protocol_whitelist": "file"}
_PHOTO_BRANDS = ("heic", "heix", "heim", "heis", "mif1", "avif")


@contextlib.contextmanager
def open_media(path: str | Path) -> Iterator[InputContainer]:
    """Opens a video or sound file for reading; a decoding error inside the block becomes a `UserError`.

    Raises:
      UserError: the file is missing or a folder, is no media file, or its content is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a video or sound file")
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); give a video or sound file")
        container = av.open(address(path), options=_PROTOCOLS, metadata_errors="replace")
    except PermissionError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a video or sound file, or is cut off before its index; "
            "check that it plays, or copy or convert it again"
        ) from error
    with container:
        try:
            yield container
        except av.error.FFmpegError as error:
            raise UserError(f"{path} is damaged ({error.strerror}); copy or convert it again") from error


def address(path: str | Path) -> str:
    """The file's name for FFmpeg, which takes what stands before the colon of a relative name for a protocol."""
    return os.path.abspath(path)


def video_track(container: InputContainer) -> VideoStream | None:
    """The first video track; the cover picture of a sound file is none."""
    tracks = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
    return next(tracks, None)


def audio_track(container: InputContainer) -> AudioStream | None:
    """The first sound track."""
    return next(iter(container.streams.audio), None)


def is_sound_only(path: str | Path) -> bool:
    """Whether a file has sound and no picture. Raises `UserError` as `open_media`."""
    with open_media(path) as container:
        return video_track(container) is None and audio_track(container) is not None


def needed_video_track(container: InputContainer, path: str | Path) -> VideoStream:
    """The first video track. Raises `UserError` where there is none, or the file is a photo."""
    name = container.format.name
    if name.endswith("_pipe") or name == "image2" or container.metadata.get("major_brand") in _PHOTO_BRANDS:
        raise UserError(f"{path} is a photo; give a video")
    stream = video_track(container)
    if stream is None:
        raise UserError(f"{path} has no video track; give a video with a picture")
    return stream
