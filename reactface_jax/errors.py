"""The one exception for everything that a user can mend, and how command lines report it."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""


class UserError(Exception):
    """Bad input. The message is one sentence: which file or flag, what is wrong, what to do.

    No ValueError, since parsers of command lines catch those and print their own pages.
    """


def reports_user_errors(main: Callable[P, R]) -> Callable[P, R]:
    """Decorates a command's `main`: a `UserError` becomes one line on stderr and exit code 2; Ctrl-C one and 130."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None

    return wrapped
