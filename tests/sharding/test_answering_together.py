"""Two processes answer a split together: each reads its own rows, and both get what one gets by itself."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from test_host_jobs import free_port

JOB = pathlib.Path(__file__).with_name("answer_job.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{JOB.parents[2]}:{JOB.parents[1]}"}


@pytest.mark.long
def test_two_processes_answer_as_one_does(tmp_path):
    def start(port: int, count: int, index: int) -> tuple[subprocess.Popen, pathlib.Path]:
        file = tmp_path / f"{count}-{index}.npy"
        command = [sys.executable, str(JOB), str(port), str(count), str(index), str(file)]
        return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True), file

    port = free_port()
    jobs = [start(port, 2, 0), start(port, 2, 1), start(0, 1, 0)]
    for process, _ in jobs:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    first, second, alone = (np.load(file) for _, file in jobs)
    assert alone.shape == (5, 2, 8, 58)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone, atol=1e-4)
    assert np.ptp(alone, axis=0).max() > 0
