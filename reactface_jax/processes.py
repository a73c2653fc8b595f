"""Who a process is, across hosts and restarts, whether it still runs, and programs that end with their parent."""

import ctypes
import os
import re
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_HOSTS_OWN = "4026531836"
"""The numbering of processes that a Linux host starts with; containers get others (PROC_PID_INIT_INO)."""


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


def command_ending_with_us(module: str, words: Sequence[str]) -> list[str]:
    """The command line of `python -m MODULE WORDS...` that ends with this process, at the latest."""
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *words]


def _run_until_parent_ends(parent: int, module: str, words: Sequence[str]) -> None:
    """Runs a module as a program; SIGTERM comes when the parent is gone."""
    watched = False
    if sys.platform == "linux":
        set_signal = 1  # PR_SET_PDEATHSIG
        watched = ctypes.CDLL(None).prctl(set_signal, signal.SIGTERM) == 0
    if not watched:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before we asked
        return
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def _host() -> str:
    """The host's name, and a container's own numbering of processes where it has one: 12 may be two processes there."""
    name = re.sub(r"[^\w-]", "_", socket.gethostname()) or "localhost"  # no dot: part of file names
    try:
        numbering = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:  # only Linux has them
        numbering = _HOSTS_OWN
    return name if numbering == _HOSTS_OWN else f"{name}_{numbering}"


def _started(pid: int) -> int | None:
    """None where the system does not say; -1 of a process that has ended and waits for its parent to notice."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return -1 if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


if __name__ == "__main__":
    _run_until_parent_ends(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
