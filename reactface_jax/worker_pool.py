"""Processes of this machine that share work, and end with the process that started them; the cores they may use."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

from reactface_jax.errors import UserError


def num_cores() -> int:
    """Cores that this process may use: fewer than the machine's where a scheduler or taskset says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int) -> None:
    """Raises `UserError` if that is no number of workers."""
    if workers < 1:
        raise UserError(f"--workers {workers} must be 1 or more")


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers for as long as the context lasts, never more than jobs; what has not begun by its end is not done.

    They are spawned, since a fork of a process that runs threads of JAX, TensorFlow, MediaPipe or VTK may hang: what
    they are given must be importable, and a script needs Python's usual `if __name__ == "__main__":`. Ctrl-C ends them
    in the middle of their work, so that it must leave nothing half-written.

    Raises:
      UserError: a worker was ended from outside.
    """
    context = get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    with reader, writer:
        pool = ProcessPoolExecutor(workers, context, _end_with_parent, (reader,))
        try:
            yield pool
        except KeyboardInterrupt:
            writer.close()
            raise
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was ended from outside, perhaps for lack of memory; start the same command again, "
                "with fewer --workers if it has that flag: files that are finished are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent(stop: connection.Connection) -> None:
    """A worker ends when its parent was killed or closes the other end of `stop`, instead of waiting for work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it, and ends the workers
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel, stop])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
