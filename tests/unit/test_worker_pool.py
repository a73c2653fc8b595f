"""Workers of a command end with it, also where it was killed; one that is ended from outside gets a sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline.dyads import make
from data_pipeline.own_recordings.command import import_pairs
from reactface_jax.errors import UserError
from reactface_jax.worker_pool import num_cores, worker_pool

PARENT = """
import os, signal, time
from reactface_jax.worker_pool import worker_pool

def work(number):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: print may write a line in two parts, between another's
    time.sleep(600)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal
    with worker_pool(2) as pool:
        list(pool.map(work, range(2)))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_workers_end_with_their_parent(tmp_path: Path, end: signal.Signals) -> None:
    """In the middle of their work."""
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as parent:
        try:
            assert parent.stdout is not None
            workers = {int(parent.stdout.readline()) for _ in range(2)}
            assert len(workers) == 2
            parent.send_signal(end)
            rest, _ = parent.communicate(timeout=60)  # returns once the workers, too, have closed it
        finally:
            parent.kill()
        assert rest == ""


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_get_a_sentence_before_anything_is_written(tmp_path: Path, workers: int) -> None:
    with pytest.raises(UserError, match=f"--workers {workers} must be 1 or more"):
        make(tmp_path / "made", workers=workers)
    with pytest.raises(UserError, match=f"--workers {workers} must be 1 or more"):
        import_pairs(tmp_path / "pairs.csv", tmp_path / "imported", workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_ended_from_outside_gets_a_sentence() -> None:
    with (
        pytest.raises(UserError, match=r"a worker process was ended from outside, .* fewer --workers"),
        worker_pool(1) as pool,
    ):
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 6}, raising=False)
    assert num_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_cores() == 64
