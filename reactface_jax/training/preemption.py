"""SIGTERM, which machines that can be taken away send first: the run saves and ends, all its processes at one step.

While the first step compiles there is nothing to save: SIGTERM, or a second Ctrl-C, ends the process at once.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from reactface_jax.errors import INTERRUPTED

log = logging.getLogger(__name__)


class Termination:
    """Asked after every step whether to save and end; see `listening`."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._computing = False

    def reached(self, step: int) -> bool:
        """Whether the run ends after this step. Several processes agree on the step: every one has to ask at each."""
        self._computing = True
        if jax.process_count() > 1:
            return bool(multihost_utils.reached_preemption_sync_point(step))
        return self._came.is_set()

    def _listen(self, wakeup: socket.socket) -> None:
        """Before the first step is done nothing is lost by leaving at once, and compiling it may take minutes.

        Python itself waits for the compilation. Ctrl-C has to come twice: a notebook's kernel would end, too.
        """
        interrupted = False
        while signals := wakeup.recv(1):
            if self._computing:
                continue
            if signals[0] == signal.SIGTERM:
                log.info("SIGTERM before the first step: nothing to save yet; the same command can be given again")
                os._exit(0)
            if signals[0] == signal.SIGINT:
                if interrupted:
                    os._exit(INTERRUPTED)
                log.info("interrupted: a compilation is waited for; Ctrl-C again ends it at once")
                interrupted = True


@contextlib.contextmanager
def listening() -> Iterator[Termination]:
    """Catches SIGTERM inside the block. Only the main thread can set a handler: in another thread nothing is caught.

    With several processes, `jax.distributed` catches it: the one that gets the signal informs the others.
    """
    termination = Termination()
    if jax.process_count() > 1 or threading.current_thread() is not threading.main_thread():
        yield termination
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    listener = threading.Thread(target=termination._listen, args=(ours,), daemon=True)
    previous = signal.signal(signal.SIGTERM, lambda *_: termination._came.set())
    previous_wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    listener.start()
    try:
        yield termination
    finally:
        signal.set_wakeup_fd(previous_wakeup)
        signal.signal(signal.SIGTERM, previous)
        theirs.close()  # ends the thread
        listener.join()
        ours.close()
