"""Processes of this machine that share work, and end with the process that started them, however that one ends."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

from reactface_jax.errors import UserError


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers for as long as the context lasts; what has not begun by its end is not done.

    They are spawned, since a fork of a process that runs threads of JAX, TensorFlow, MediaPipe or VTK may hang: what
    they are given must be importable, and a script needs Python's usual `if __name__ == "__main__":`.

    Raises:
      UserError: a worker was ended from outside.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was ended from outside, perhaps for lack of memory; start again with fewer --workers, "
            "what is done already is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker ends when its parent was killed, instead of waiting for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it, and ends the workers
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
