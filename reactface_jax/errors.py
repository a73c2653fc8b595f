"""The one exception for everything that a user can mend, and how command lines report it."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


OUTPUT_CLOSED = 141
INTERRUPTED = 130
"""Exit codes after a closed output and after Ctrl-C: 128 and the signal's number, as shells have it."""
_REFUSED = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
"""What the system says of a path that can't be used as it is."""


class UserError(Exception):
    """Bad input. The message is one sentence: which file or flag, what is wrong, what to do.

    No ValueError, since parsers of command lines catch those and print their own pages.
    """


def reports_user_errors(main: Callable[P, R]) -> Callable[P, R]:
    """Decorates a command's `main`: what its user can mend becomes one line on stderr and exit code 2, Ctrl-C 130.

    That is a `UserError`, a full disk, and a path that the system refuses: no permission, or a name that is too long.
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except BrokenPipeError:
            # Who read the output has left, as `| head` does; what is still to be flushed goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(OUTPUT_CLOSED) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:
            if is_full_disk(error):
                sentence = f"the disk is full{_which(error)}; free some space and start again"
            elif isinstance(error, OSError) and error.errno in _REFUSED and error.filename is not None:
                sentence = f"{error.filename} can't be used: {error.strerror}; give another path"
            else:
                raise
            print(f"error: {sentence}", file=sys.stderr)
            raise SystemExit(2) from None

    return wrapped


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, also one of a library that keeps only the system's words, says that no space is left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error) or "Disk quota exceeded" in str(error)


def _which(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" ({name} can't be written)" if name else ""
