"""Two processes over loopback read disjoint halves of one global order."""

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from unit import raw_tree

from data_pipeline.loader import open_shards
from data_pipeline.shards.write import write_shards

JOB = Path(__file__).parent / "loader_job.py"
ROOT = Path(__file__).parents[2]


def test_two_processes_see_halves_of_the_same_batches(tmp_path):
    raw_tree.write_split(tmp_path / "raw", "train", [12, 11, 12])
    write_shards(tmp_path / "raw", tmp_path / "shards")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, JOB, tmp_path / "shards", coordinator, str(index)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    halves = [
        [[int(word) for word in line.split()[1:]] for line in out.splitlines() if line.startswith("clips")]
        for out, _ in said
    ]
    settings = {"batch_size": 4, "num_frames": 8, "image_size": 56, "max_neighbours": 0, "seed": 3}
    whole = open_shards(tmp_path / "shards").train_batches("train", **settings)
    for batch, first, second in zip(itertools.islice(whole, 4), *halves, strict=True):
        assert len(first) == len(second) == 2
        np.testing.assert_array_equal(batch.clip, first + second)
