"""train.py as a process of its own: killed at random, asked to end, started again."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import numpy as np
import pytest
from unit.raw_tree import write_labels, write_split

from data_pipeline.shards.write import write_shards
from reactface_jax.weights.run import load_run

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 18
ON_DISK = 5  # step 4 saves, which waits until what step 2 saved is on disk

# Zhou et al.'s row compiles in seconds, and draws dropout; ReactFace is trained by the same loop.
ZHOU = "--method zhou --data.clip-frames 30"
# Without dropout and F-Enc, which are most of what compiling takes; sampling and the data's order stay.
REACTFACE = (
    "--model.no-use-video --model.dropout 0 --model.interaction-layers 1 --model.audio.mask-time-prob 0 "
    "--model.audio.hidden-dropout 0 --model.audio.attention-dropout 0 --model.audio.activation-dropout 0"
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        write_split(folder / "raw", split, [40, 40])
        write_labels(folder / "raw" / f"neighbour_emotion_{split}.npy", np.eye(4))
    write_shards(folder / "raw", folder / "shards")
    return folder / "shards"


class Method(NamedTuple):
    words: str
    kills: int


@pytest.fixture(
    params=[
        pytest.param(Method(REACTFACE, kills=2), marks=pytest.mark.long, id="reactface"),
        pytest.param(Method(ZHOU, kills=1), id="zhou"),
    ]
)
def method(request) -> Method:
    return request.param


@pytest.fixture
def start(shards, method):
    """Starts the command on a run's directory; whatever runs is gone after the test."""
    running: list[subprocess.Popen] = []

    def begin(workdir, *words: str, **environment: str) -> subprocess.Popen:
        workdir.mkdir(exist_ok=True)
        command = (
            "train.py --config configs/tiny.py --resume --train.log-every 1 --train.checkpoint-every 2 "
            f"--train.eval-every 1000000 {method.words}"
        )
        # Tests that run in the background ignore Ctrl-C, and so would a child; a handler's it does not inherit.
        ours = signal.signal(signal.SIGINT, signal.default_int_handler)
        running.append(
            subprocess.Popen(
                [sys.executable, *command.split(), "--workdir", str(workdir), "--data.dir", str(shards), *words],
                cwd=ROOT,
                env={**os.environ, "JAX_NUM_CPU_DEVICES": "1", **environment},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        signal.signal(signal.SIGINT, ours)
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen, pattern: str, least: int = 0) -> str:
    """Reads the log until a line matches, and the number in its group, if it has one, is at least so high."""
    said = ""
    for line in process.stderr:
        said += line
        found = re.search(pattern, line)
        if found and (not found.groups() or int(found[1]) >= least):
            return said
    raise AssertionError(said)


def end(process: subprocess.Popen) -> str:
    _, said = process.communicate(timeout=3000)
    assert process.returncode == 0, said
    return said


def params(workdir) -> list[np.ndarray]:
    run = load_run(workdir)
    assert run.step == STEPS
    return jax.tree.leaves(run.params)


def test_a_run_that_is_killed_ends_in_the_same_parameters(start, method, tmp_path):
    end(start(tmp_path / "whole", "--train.steps", str(STEPS)))

    seed = int.from_bytes(os.urandom(4))
    rng = np.random.default_rng(seed)
    log = f"seed {seed}"
    for target in sorted(rng.choice(np.arange(ON_DISK, STEPS - 5), method.kills, replace=False)):
        process = start(tmp_path / "killed", "--train.steps", str(STEPS))
        log += wait_for(process, rf"step (\d+)/{STEPS} ", least=target)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    log += end(start(tmp_path / "killed", "--train.steps", str(STEPS)))
    assert "resumed" in log, log
    for one, other in zip(params(tmp_path / "whole"), params(tmp_path / "killed"), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=log)


def test_sigterm_saves_and_exits_with_0(start, tmp_path):
    process = start(tmp_path / "run", "--train.steps", "100000", "--train.checkpoint-every", "100000")
    wait_for(process, "step 3/")
    process.send_signal(signal.SIGTERM)
    said = end(process)
    step = load_run(tmp_path / "run").step
    assert step >= 3
    assert f"SIGTERM: saved at step {step}; the same command with --resume goes on" in said


@pytest.fixture
def compiling(start, tmp_path) -> subprocess.Popen:
    process = start(tmp_path / "run", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "empty"))
    wait_for(process, "the first one compiles")
    time.sleep(1)
    return process


@pytest.mark.long
def test_sigterm_does_not_wait_for_the_first_compilation(compiling):
    compiling.send_signal(signal.SIGTERM)
    assert "SIGTERM before the first step: nothing to save yet; the same command can be given again" in end(compiling)


@pytest.mark.long
def test_a_second_ctrl_c_does_not_wait_for_the_first_compilation(compiling):
    compiling.send_signal(signal.SIGINT)
    wait_for(compiling, "interrupted: a compilation is waited for; Ctrl-C again ends it at once")
    compiling.send_signal(signal.SIGINT)
    assert compiling.wait(timeout=10) == 130
