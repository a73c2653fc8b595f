"""Files of a data set, in folders or inside tars, which are read where they lie and never unpacked.

A member of a tar is a stretch of the tar's bytes: videos, sounds and arrays are opened within it.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from reactface_jax.errors import UserError

_BESIDE = "._"
"""How names of files begin that macOS puts beside others."""


@dataclass(frozen=True)
class Member:
    """A file: of its own, or a stretch of a tar."""

    path: str
    name: str
    """Within the data set; of a tar's member, the tar's path without its suffix comes first."""
    offset: int
    size: int
    inside: bool
    """Whether it lies in a tar."""

    @property
    def folder(self) -> str:
        """Within the data set."""
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return self.name.rpartition("/")[2].rpartition(".")[0]

    def __str__(self) -> str:
        return f"{self.name.rpartition('/')[2]} in {self.path}" if self.inside else self.path

    def open(self) -> BinaryIO:
        """Raises `UserError` when the file is gone, or may not be read."""
        try:
            return cast(BinaryIO, io.BufferedReader(_Stretch(self.path, self.offset, self.size), 1 << 18))
        except OSError as error:
            raise UserError(f"{self} can't be read ({error.strerror}); copy it again") from error

    def read(self) -> bytes:
        """All of it. Raises `UserError` when it can't be read."""
        with self.open() as file:
            try:
                return file.read()
            except OSError as error:
                raise UserError(f"{self} can't be read ({error.strerror}); copy it again") from error

    def stamp(self) -> list[object]:
        """Changes when the file does."""
        path = Path(self.path)
        return [self.name, self.offset, self.size, path.stat().st_mtime_ns if path.exists() else None]


class _Stretch(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, path: str, offset: int, size: int) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115  # closed with this
        self._offset, self._size, self._at = offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, to: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + to)
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # collections.abc.Buffer is Python 3.12's
        view = memoryview(buffer)
        count = max(0, min(len(view), self._size - self._at))
        self._file.seek(self._offset + self._at)
        read = self._file.readinto(view[:count]) or 0
        self._at += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class Members:
    """All files of a data set, by name, and tars that are not whole."""

    files: dict[str, Member]
    damaged: dict[str, str]
    """Path of a tar, or of a folder → what is wrong with it, in a sentence."""

    def ending(self, *suffixes: str) -> list[Member]:
        """Files with one of the endings, by name."""
        return [member for _, member in sorted(self.files.items()) if member.name.lower().endswith(suffixes)]


def list_members(root: Path) -> Members:
    """Lists a folder's files and its tars' members, with linked folders as if they lay there; or those of one tar.

    Files that macOS puts beside others (._name) are none of the data.

    Raises:
      UserError: there is nothing, or no file.
    """
    if not root.exists():
        raise UserError(f"--raw {root} does not exist; give the data set's folder, or a tar of it")
    members = Members({}, {})
    for path in [root] if root.is_file() else sorted(_files_below(root, members)):
        name = path.name if root.is_file() else path.relative_to(root).as_posix()
        if name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")):
            members.damaged[str(path)] = f"{path} is compressed, so it can't be read where it lies; unpack it once"
        elif name.endswith(".tar"):
            _list_tar(path, "" if root.is_file() else name.removesuffix(".tar"), members)
        else:
            members.files[name] = Member(str(path), name, 0, path.stat().st_size, inside=False)
    if not members.files:
        why = f": {next(iter(members.damaged.values()))}" if members.damaged else ""
        raise UserError(f"--raw {root} holds no file that can be read{why}; give the data set's folder, or a tar of it")
    return members


def _files_below(root: Path, members: Members) -> Iterator[Path]:
    """All files of a folder and of folders that links in it name. Adds folders that can't be read to the damaged.

    A folder is entered once: under its own name if it has one in the tree, so links are followed last. That ends loops.
    """
    waiting, links = [root], list[Path]()
    visited = {os.path.realpath(above) for above in root.resolve().parents}  # a link there is none into the data
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        if (place := os.path.realpath(folder)) in visited:
            continue
        visited.add(place)
        try:
            content = sorted(folder.iterdir())
        except OSError as error:
            members.damaged[str(folder)] = f"{folder} can't be read ({error.strerror}); copy it again"
            continue
        for path in content:
            if path.is_file():
                if not path.name.startswith(_BESIDE):
                    yield path
            elif path.is_dir():
                (links if path.is_symlink() else waiting).append(path)


def _list_tar(path: Path, folder: str, members: Members) -> None:
    """Adds a tar's members. One that is cut off keeps those that are whole."""
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if not info.isreg() or info.name.rpartition("/")[2].startswith(_BESIDE):
                    continue
                name = f"{folder}/{info.name.removeprefix('./')}".lstrip("/")
                if info.offset_data + info.size > size:
                    members.damaged[str(path)] = f"{path} is cut off within {info.name}; download it again"
                    return
                members.files[name] = Member(str(path), name, info.offset_data, info.size, inside=True)
    except (tarfile.TarError, OSError, EOFError) as error:
        members.damaged[str(path)] = f"{path} is no whole tar ({error}); download it again"
