"""One process at a time writes into a folder.

The system's own lock decides (`flock`, which ends with its process, however that ends); the file says who holds it. On
a file system without such locks the file decides: whoever it names holds the folder, unless that process is dead.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from reactface_jax.errors import UserError
from reactface_jax.files import make_folder
from reactface_jax.processes import Owner, owner_from, this_process

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)

LOCK = ".lock"
"""Name of the lock's file, in the folder."""


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Makes the folder if need be, and holds it while inside.

    Raises:
      UserError: another process holds it (the message names it), or it can't be written.
    """
    make_folder(folder)
    path = Path(folder) / LOCK
    try:
        descriptor = _acquire(path)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, str(this_process()).encode())
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: nobody else's
        os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            holder = owner_from(os.read(descriptor, 1000).decode(errors="replace"))
            if not _take(descriptor, holder):
                who = f"process {holder.pid} on {holder.host}" if holder else "another process"
                raise UserError(f"{who} is writing into {path.parent}; wait for it, end it, or give another folder")
            # Its holder may have removed the file between our opening and our locking it: then it holds nothing.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take(descriptor: int, holder: Owner | None) -> bool:
    """Whether the lock is ours now; `holder` is who the file says has or had it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return holder is None or holder.is_dead()
