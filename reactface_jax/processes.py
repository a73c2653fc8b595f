"""Who a process is, across hosts and restarts, and whether it still runs."""

import os
import re
import socket
from pathlib import Path
from typing import NamedTuple


class Owner(NamedTuple):
    """A process, named so that another one, started later under the same number, is not taken for it."""

    host: str
    pid: int
    started: int
    """In ticks since the host's start, as Linux counts them; 0 where that is not known."""

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.started}"

    def is_dead(self) -> bool:
        """Whether the process certainly runs no more. Of another host's process that is never certain."""
        if self.host != _host() or os.name != "posix":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            pass
        started = _started(self.pid)
        return started is not None and started != self.started


def this_process() -> Owner:
    """The one that asks; a fork is another process."""
    return Owner(_host(), os.getpid(), _started(os.getpid()) or 0)


def owner_from(text: str) -> Owner | None:
    """The owner whose `str` is `text`; None if it is nobody's."""
    match = re.fullmatch(r"(.+)-(\d+)-(\d+)", text)
    return Owner(match[1], int(match[2]), int(match[3])) if match else None


def _host() -> str:
    return re.sub(r"[^\w-]", "_", socket.gethostname()) or "localhost"  # no dot: part of file names


def _started(pid: int) -> int | None:
    """None where the system does not say; -1 of a process that has ended and waits for its parent to notice."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return -1 if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
