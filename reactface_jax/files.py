"""A file or a folder appears whole or not at all, and nothing that is not ours is replaced.

Both are written aside, under a name that says which process writes: `.NAME.HOST-PID-STARTED.partial`. What a process
that was killed left under such a name is removed by the next one that writes into the same folder.
"""

import contextlib
import ctypes
import errno
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from reactface_jax.errors import UserError
from reactface_jax.processes import owner_from, this_process

PARTIAL = ".partial"
"""Suffix of what is being written, and of an old folder that is being removed."""
_OLD = ".old"  # an old folder whose place the new one has not taken yet, where names can't be exchanged


# ---- Files -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write, aside at first, which takes its place once everything is written and nothing failed.

    Raises:
      UserError: the file can't be written.
    """
    path = Path(path)
    aside = aside_name(path)
    try:
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def aside_name(path: str | Path) -> Path:
    """The name beside `path` under which this process writes it."""
    path = Path(path)
    _sweep_once(path.parent.absolute())
    return path.with_name(f".{path.name}.{this_process()}{PARTIAL}")


def check_length(path: str | Path) -> None:
    """Raises `UserError` for a name that is too long to be written aside; call it before long work."""
    whole = Path(path).resolve()
    try:
        if whole.name:  # but for the root
            aside_name(whole).lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"the name of {path} is too long; give a shorter one") from error


# ---- Folders ---------------------------------------------------------------------------------------------------------


def make_folder(path: str | Path) -> None:
    """Makes a folder and those above it, where missing. Raises `UserError` if that is not possible."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder {path} can't be written: {error.strerror or error}") from error


@contextlib.contextmanager
def replacing_folder(path: str | Path, is_ours: Callable[[Path], bool], what: str) -> Iterator[Path]:
    """A folder to fill, aside at first, which takes its place as a whole once everything is in it and nothing failed.

    Whoever reads `path` finds the old folder or the new one, whole, also after a kill at any moment. (Where the system
    can't exchange two names in one step, a kill between two renames leaves neither: the next writer puts the old one
    back.)

    Args:
      path: may not exist, be empty, or hold what `is_ours` recognises.
      is_ours: whether a folder is what this command writes, proven by its own description or files.
      what: that in words, such as "a shard set".

    Raises:
      UserError: as `require_replaceable`, or the folder can't be written.
    """
    require_replaceable(path, is_ours, what)
    path = Path(path).resolve()
    aside = aside_name(path)
    try:
        aside.mkdir(parents=True)
        yield aside
        require_replaceable(path, is_ours, what)  # what came there meanwhile is not lost either
        take_place(aside, path)
    except OSError as error:
        raise UserError(f"folder {path} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def require_replaceable(path: str | Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Refuses to replace a folder that is not ours; call it before long work. Arguments as of `replacing_folder`.

    Raises:
      UserError: `path` is a file, lies below one, is the folder that this process runs in or a device's root, or holds
        something that is not ours; its name is too long; its folder can't be written.
    """
    given, path = path, Path(path).resolve()
    sweep(path.parent)
    above = next((folder for folder in path.parents if folder.exists()), path)
    if not above.is_dir():
        raise UserError(f"{given} lies below the file {above}; give another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{given} can't be made: there is no permission to write in {above}; give another folder")
    check_length(given)
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{given} is a file; give a folder")
    if Path.cwd().is_relative_to(path) or path.is_mount():
        raise UserError(f"{given} can't be replaced as a whole; give a folder inside it")
    if any(path.iterdir()) and not is_ours(path):
        raise UserError(f"{given} holds files but is not {what}, so it is not replaced; give another folder")


def lie_apart(one: str | Path, other: str | Path) -> bool:
    """Whether neither path is the other or lies below it, with all links followed: writing one spares the other."""
    first, second = Path(one).resolve(), Path(other).resolve()
    return not (first.is_relative_to(second) or second.is_relative_to(first))


def sweep(folder: str | Path) -> None:
    """Removes from a folder what dead processes left there half written, and puts back what one had moved away."""
    for leftover in Path(folder).glob(".*.*-*-*.*"):
        name, _, owner = leftover.stem[1:].rpartition(".")
        process = owner_from(owner)
        if leftover.suffix not in (PARTIAL, _OLD) or process is None or not process.is_dead():
            continue
        with contextlib.suppress(OSError):
            if leftover.suffix == _OLD and not leftover.with_name(name).exists():
                leftover.rename(leftover.with_name(name))
            elif leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


_sweep_once = functools.cache(sweep)
"""For each folder the first time that this process writes a file there: looking through it each time would be slow."""


def take_place(aside: Path, path: Path) -> None:
    """Renames a folder to `path`; what was there then has the name `aside`, or is removed. Ask before if it may be."""
    if not path.exists() or not _exchange(aside, path):
        old = aside.with_suffix(_OLD)
        if path.exists():
            path.rename(old)
        aside.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step, as Linux can; False where that is not possible."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)
