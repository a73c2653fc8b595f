"""How many processes a launcher started, and what is said where that is unclear."""

import jax
import pytest

from reactface_jax.config import HostsConfig
from reactface_jax.errors import UserError
from reactface_jax.training import hosts


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"JAX_NUM_PROCESSES": "4"}, 4),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 3),
        ({"SLURM_NTASKS": "16", "SLURM_STEP_NODELIST": "node[1-2]"}, 16),
        ({"SLURM_NTASKS": "16"}, 1),  # sbatch without srun
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, 2),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 1),
    ],
)
def test_the_launcher_says_how_many(environment, count):
    assert hosts.count_of_environment(environment) == count


def test_what_is_no_number_is_named():
    with pytest.raises(UserError, match=r"JAX_NUM_PROCESSES=two of the environment is no number"):
        hosts.count_of_environment({"JAX_NUM_PROCESSES": "two"})


def test_alone_nothing_is_started(monkeypatch):
    for name in ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NODELIST", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    hosts.join(HostsConfig())
    hosts.join(HostsConfig(count=1))
    assert hosts.is_first()
    with pytest.raises(ZeroDivisionError), hosts.ending_together():  # alone, an error is the caller's
        _ = 1 / 0


def test_processes_that_do_not_know_of_each_other_are_told_what_to_give(monkeypatch):
    def initialize(**_):  # the real one refuses a process that has computed already, as this one may have
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(UserError, match=r"2 processes can't find each other .*--hosts.coordinator HOST:PORT"):
        hosts.join(HostsConfig(count=2, index=0))


def test_contradictions_are_refused():
    with pytest.raises(UserError, match=r"hosts.count -1 must be at least 0"):
        HostsConfig(count=-1)
    with pytest.raises(UserError, match=r"hosts.timeout 0 must be at least 1"):
        HostsConfig(timeout=0)
