"""Files on this machine and in a bucket (gs://...), read and written alike.

A path in a bucket is an `epath.Path`, which has pathlib's methods; everything else stays a `pathlib.Path`. Libraries
that open files by name (FFmpeg, ArrayRecord) get a local copy for as long as they need it.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from etils import epath

from reactface_jax.errors import UserError
from reactface_jax.files import make_folder, replacing

AnyPath: TypeAlias = Path | epath.Path
LOCAL = "local"
_SCHEMES = ("gs", "s3")


def any_path(path: str | AnyPath) -> AnyPath:
    """The path that a person typed: of this machine, or gs://bucket/folder.

    Raises:
      UserError: it starts with another scheme, or the bucket can't be reached; its name is too long, or its links go in
        a circle.
    """
    scheme, separator, _ = os.fspath(path).partition("://")
    if not separator:
        local = Path(path)
        try:
            local.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise UserError(f"{path} can't be opened ({first_line(error)}); give another path") from error
        return local
    if scheme not in _SCHEMES:
        raise UserError(f"{path} is neither a folder nor in a bucket; give a path or gs://bucket/folder")
    remote = epath.Path(path)
    try:
        remote.exists()
    except Exception as error:  # each kind of storage has its own exceptions
        raise UserError(
            f"{path} can't be reached ({first_line(error)}); check the bucket's name, the network and your credentials"
        ) from error
    return remote


def write_bytes(path: AnyPath, content: bytes) -> None:
    """Writes a file that appears whole or not at all, as objects in a bucket do by themselves."""
    if isinstance(path, Path):
        with replacing(path) as file:
            file.write(content)
    else:
        path.write_bytes(content)


def make_any_folder(folder: AnyPath) -> None:
    """Makes a folder and those above it, where missing."""
    if isinstance(folder, Path):
        make_folder(folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)


def remove(folder: AnyPath) -> None:
    """Removes a folder with all in it, if there is one."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.rmtree()


def send(local: Path, to: AnyPath) -> None:
    """Moves a finished local file to where it belongs."""
    if isinstance(to, Path):
        os.replace(local, to)
        return
    with local.open("rb") as source, to.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 22)
    local.unlink()


@contextlib.contextmanager
def local_folder(beside: AnyPath) -> Iterator[Path]:
    """A folder on this machine to write in, gone afterwards; in `beside`/local, if that is on this machine.

    What a killed process leaves there has no name that is known: whoever owns `beside` removes all of `local`.
    """
    folder = None
    if isinstance(beside, Path):
        folder = beside / LOCAL
        make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        yield Path(own)


@contextlib.contextmanager
def fetched(path: AnyPath) -> Iterator[Path]:
    """A file, or a folder of files, as it can be opened on this machine: itself, or a copy that is then removed.

    A `UserError` from within names the path that the person knows.
    """
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        _fetch(path, copy)
        try:
            yield copy
        except FetchError:
            raise
        except UserError as error:
            raise UserError(str(error).replace(str(copy), str(path))) from error


def _fetch(path: epath.Path, copy: Path) -> None:
    try:
        if path.is_dir():
            copy.mkdir()
            for child in path.iterdir():
                _fetch(child, copy / child.name)
        else:
            with path.open("rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 22)
    except Exception as error:  # each kind of storage has its own exceptions
        raise FetchError(
            f"{path} can't be fetched ({first_line(error)}); start again, what is done already is kept"
        ) from error


class FetchError(UserError):
    """The bucket failed, and not the file in it."""


@contextlib.contextmanager
def writing(path: AnyPath) -> Iterator[None]:
    """Turns what storage and libraries say of a full disk or a missing right into a sentence."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path} can't be written ({first_line(error)}); mend that and start again, what is done already is kept"
        ) from error


def first_line(error: Exception) -> str:
    """What an exception says, as a part of a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
