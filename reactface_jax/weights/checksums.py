"""What is read is what was written: a folder's files with their SHA-256, in the form that `sha256sum -c` reads too.

Nothing of a folder is parsed before its files are known to be whole, so that damage reaches no parser.
"""

import hashlib
import os
from pathlib import Path

from reactface_jax.errors import UserError

CHECKSUMS = "SHA256SUMS"
"""Name of the list, in the folder."""
_NOT_LISTED = {CHECKSUMS, "commit_success.txt"}  # orbax writes the latter last


class DamagedError(UserError):
    """Files that are not as they were written."""


def write_checksums(folder: str | os.PathLike[str]) -> None:
    """Adds the list to a folder that is complete otherwise."""
    path = Path(folder)
    lines = [f"{_sha256(path / name)}  {name}\n" for name in _files(path)]
    (path / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def verify(folder: Path, *, required: bool = True) -> None:
    """Reads all files of a folder and compares them with its list.

    Args:
      folder: what `write_checksums` was called for.
      required: whether it must have a list; one of an older version has none.

    Raises:
      DamagedError: a file is missing, too many, or not as it was written; the message names it.
    """
    if not required and not (folder / CHECKSUMS).exists():
        return
    try:
        text = (folder / CHECKSUMS).read_text(encoding="utf-8")
        listed = {name: checksum for checksum, _, name in (line.partition("  ") for line in text.splitlines())}
        if "" in listed:
            raise DamagedError(f"{folder / CHECKSUMS} is damaged: a line of it names no file")
        found = _files(folder)
        if odd := sorted(listed.keys() ^ set(found)):
            raise DamagedError(f"{folder} is damaged: {odd[0]!r} is {'missing' if odd[0] in listed else 'not listed'}")
        for name in found:
            if _sha256(folder / name) != listed[name]:
                raise DamagedError(f"{folder / name} is damaged: it is not what was written")
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError(f"{folder} is damaged: its list {CHECKSUMS} or a file of it can't be read") from error


def _files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in paths if name not in _NOT_LISTED)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
