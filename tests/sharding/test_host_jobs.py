"""Jobs of two real processes over loopback: they train, are preempted, lose one of them, and go on elsewhere."""

import functools
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from reactface_jax.training import hosts
from reactface_jax.weights.run import load_run

JOB, WARM_UP = (pathlib.Path(__file__).with_name(name) for name in ("host_job.py", "warmup_job.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{JOB.parents[2]}:{JOB.parents[1]}"}
BOUND = 180  # seconds; each ends within a few, on a machine with nothing else to do
MESH = ("--mesh.data", "2", "--mesh.fsdp", "-1")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("localhost", 0))
        return opened.getsockname()[1]


class Process:
    """A process of a job, and what it has said so far."""

    def __init__(self, workdir, devices: int, *words: str, program: pathlib.Path = JOB):
        self.path = workdir.with_name(f"{workdir.name}-{time.monotonic_ns()}.log")
        folder = [str(workdir)] if program == JOB else []
        with self.path.open("w") as log:
            command = [sys.executable, str(program), *folder, str(devices), *MESH, *words]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT)

    @property
    def said(self) -> str:
        return self.path.read_text()

    @property
    def losses(self) -> dict[int, float]:
        return {int(step): float(loss) for step, loss in re.findall(r"step (\d+)/\d+  loss (\S+)", self.said)}

    def wait_for_step(self, step: int) -> None:
        end = time.monotonic() + 4 * BOUND
        while max(self.losses, default=0) < step:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)

    def end(self) -> int:
        return self.process.wait(4 * BOUND)


@pytest.fixture
def started():
    """Whatever a test starts is gone after it."""
    processes: list[Process] = []
    yield processes
    for one in processes:
        one.process.kill()
        one.process.wait()


def job(started, workdir, *words: str, devices: int = 4) -> list[Process]:
    where = ("--hosts.coordinator", f"localhost:{free_port()}", "--hosts.count", "2", "--hosts.timeout", "30")
    pair = [Process(workdir, devices, *where, "--hosts.index", str(index), *words) for index in (0, 1)]
    started += pair
    return pair


def one_process(started, workdir, devices: int, *words: str) -> Process:
    one = Process(workdir, devices, *words)
    started.append(one)
    return one


def newest(workdir) -> int:
    return load_run(workdir).step


def test_two_processes_train_are_preempted_lose_one_and_go_on_elsewhere(tmp_path, started):
    workdir = tmp_path / "run"

    # SIGTERM to one: both save at one step, and say by their code that the job is to be started again.
    pair = job(started, workdir, "--train.steps", "1000")
    pair[0].wait_for_step(3)
    pair[1].process.send_signal(signal.SIGTERM)
    assert [one.end() for one in pair] == [hosts.LOST, hosts.LOST], pair[0].said + pair[1].said
    stopped = newest(workdir)
    assert f"SIGTERM: saved at step {stopped}" in pair[0].said
    assert "8 x cpu" in pair[0].said
    assert "2 process(es); data 2, fsdp 4, model 1" in pair[0].said
    assert "step 1/" not in pair[1].said  # the first process speaks
    assert len(list((workdir / "tensorboard").iterdir())) == 1

    # One is killed: the other says so and ends, soon.
    pair = job(started, workdir, "--train.steps", "1000")
    between_checkpoints = stopped + 6 + (2 - stopped - 6) % 4  # every fourth step is saved: the last one is not
    pair[0].wait_for_step(between_checkpoints)
    pair[1].process.kill()
    killed = time.monotonic()
    code = pair[0].end()
    assert code in (hosts.LOST, -signal.SIGABRT), pair[0].said
    assert time.monotonic() - killed < BOUND
    # Whoever notices first: the step that fails, or jax.distributed, which ends the process itself.
    ours = r"error: process 0 of 2 has lost another one .* start the job again with --resume"
    theirs = "most likely indicates that another task died"
    assert re.search(ours if code == hosts.LOST else theirs, pair[0].said)

    # Elsewhere the job goes on, with the losses that it had.
    saved, last = newest(workdir), max(pair[0].losses)
    assert stopped <= saved < last
    elsewhere = ("--mesh.data", "-1", "--mesh.fsdp", "2")
    one = one_process(started, workdir, 4, "--train.steps", str(last), *elsewhere)
    assert one.end() == 0, one.said
    assert f"steps: {saved} to {last}, resumed" in one.said
    assert sorted(one.losses) == list(range(saved + 1, last + 1))
    for step, loss in one.losses.items():
        assert loss == pytest.approx(pair[0].losses[step], rel=1e-3)


@pytest.mark.long
def test_two_processes_learn_to_see_as_one_does(tmp_path, started):
    """The real F-Enc, whose kernels lie in parts on the devices of both."""
    where = ("--hosts.coordinator", f"localhost:{free_port()}", "--hosts.count", "2", "--hosts.timeout", "60")
    pair = [Process(tmp_path / "two", 2, *where, "--hosts.index", str(i), program=WARM_UP) for i in (0, 1)]
    started += pair
    assert [each.end() for each in pair] == [0, 0], pair[0].said + pair[1].said
    one = Process(tmp_path / "one", 4, program=WARM_UP)
    started.append(one)
    assert one.end() == 0, one.said
    sizes = [[float(size) for size in each.said.partition("sizes ")[2].split()] for each in (*pair, one)]
    assert len(sizes[0]) == 7  # five kernels, and the last layer's with its bias
    assert sizes[0] == sizes[1]
    assert sizes[0] == pytest.approx(sizes[2], rel=1e-4)


@pytest.mark.long
def test_two_processes_train_a_row_in_stages_and_measure_as_one_does(tmp_path, started, monkeypatch):
    """The second stage begins after two steps, with the latents' range over all processes' clips."""
    sizes = {"window": 8, "width": 8, "mlp-width": 8, "denoiser-width": 16, "denoiser-layers": 3, "time-width": 8}
    steps = {"vae-steps": 2, "statistics-batches": 2}
    words = ["--method", "belfusion", "--train.steps", "4", "--train.eval-every", "0", "--train.ema", "0.9"]
    words += [word for name, value in (sizes | steps).items() for word in (f"--belfusion.{name}", str(value))]
    # Programs that they kept would be read by the next job on CPUs, which would then wait for ever.
    monkeypatch.setitem(ENVIRONMENT, "JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    pair = job(started, tmp_path / "pair", *words, devices=2)
    for process in pair:
        assert process.end() == 0, process.said
    assert not (tmp_path / "compiled").exists()
    one = one_process(started, tmp_path / "one", 4, *words)
    assert one.end() == 0, one.said
    assert "method belfusion" in pair[0].said
    together, alike = load_run(tmp_path / "pair"), load_run(tmp_path / "one")
    assert together.step == 4
    for step, loss in one.losses.items():
        assert pair[0].losses[step] == pytest.approx(loss, rel=1e-3)
    for tree in ("params", "method_state"):
        close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
        jax.tree.map(close, getattr(together, tree), getattr(alike, tree))


@pytest.mark.long
def test_where_the_first_process_is_killed_the_other_ends_too(tmp_path, started):
    pair = job(started, tmp_path / "run", "--train.steps", "1000")
    pair[0].wait_for_step(2)
    os.kill(pair[0].process.pid, signal.SIGKILL)
    assert pair[1].end() != 0
    assert re.search(r"lost another one|another task died|coordination service", pair[1].said), pair[1].said
