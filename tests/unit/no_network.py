"""A process that dies at its first step into a network: `run` it, and see how it ended.

The kernel watches (seccomp): opening a socket of any family but AF_UNIX ends the process with SIGSYS, whichever
library or thread does it. No connection can be made without such a socket, and neither can a name server be asked. What
is not seen: names that /etc/hosts or a daemon behind a Unix socket answers, and sockets that other processes hand over.
"""

import ctypes
import platform
import signal
import struct
import subprocess
import sys

CAUGHT = -signal.SIGSYS
"""Exit status of a process that tried."""

_SOCKET = {"x86_64": 41, "aarch64": 198}  # numbers of the system call
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_AF_UNIX = 1


def is_possible() -> bool:
    return sys.platform == "linux" and platform.machine() in _SOCKET


def forbid_network() -> None:
    """From here on, for this process and all that it starts."""
    machine = platform.machine()
    steps = [
        (_LOAD, 0, 0, 4),  # the call's architecture
        (_EQUAL, 0, 5, _ARCHITECTURE[machine]),
        (_LOAD, 0, 0, 0),  # its number
        (_EQUAL, 0, 2, _SOCKET[machine]),
        (_LOAD, 0, 0, 16),  # its first argument: the family
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL),
    ]
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, head, 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel has no seccomp")


def run(code: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process without network; standard output and error come back."""
    begin = "from no_network import forbid_network\nforbid_network()\n"
    return subprocess.run(  # with the path of this process, in which tests/unit is
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {sys.path!r}\n{begin}{code}"],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
