"""Opening a media file with PyAV, and the sentence its user reads when that fails."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import av.error

from reactface_jax.errors import UserError


@contextlib.contextmanager
def open_media(path: str | Path) -> Iterator[av.container.InputContainer]:
    """Opens a video or sound file for reading; a decoding error inside the block becomes a `UserError`.

    Raises:
      UserError: the file is missing or a folder, is no media file, or its content is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a video or sound file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); give a video or sound file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path} is not a video or sound file, or is cut off before its index; "
            "check that it plays, or copy or convert it again"
        ) from error
    with container:
        try:
            yield container
        except av.error.FFmpegError as error:
            raise UserError(f"{path} is damaged ({error.strerror}); copy or convert it again") from error
