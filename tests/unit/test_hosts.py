"""How many processes a launcher started, and what is said where that is unclear."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reactface_jax.config import Config, HostsConfig
from reactface_jax.errors import UserError
from reactface_jax.training import hosts
from reactface_jax.training.checkpoints import Checkpoints, saved_if_it_fails
from reactface_jax.training.state import TrainState
from reactface_jax.weights.run import About


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
        ({"PMI_SIZE": "4", "PMI_RANK": "2"}, 4),  # MPICH
        ({"MEGASCALE_NUM_SLICES": "2", "TPU_WORKER_HOSTNAMES": "a,b", "MEGASCALE_SLICE_ID": "0"}, 4),  # GKE, two slices
        ({"MEGASCALE_NUM_SLICES": "2"}, None),
        ({"TPU_ACCELERATOR_TYPE": "v5litepod-16"}, None),  # a TPU VM: its metadata know the others
        ({"TPU_ACCELERATOR_TYPE": "v5litepod-8"}, 1),
        ({"TPU_ACCELERATOR_TYPE": "v6e-16"}, None),
        ({"TPU_ACCELERATOR_TYPE": "v4-8"}, 1),  # cores: four chips, one machine
        ({"TPU_ACCELERATOR_TYPE": "v4-16"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "3"}, None),  # an indexed job
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 1),  # a pod of its own
    ],
)
def test_the_launcher_says_how_many(environment, count):
    assert hosts.processes_of_environment(environment).processes == count


LAUNCHED = {
    "PMI_SIZE": {"PMI_SIZE": "4", "PMI_RANK": "2"},
    "MEGASCALE_NUM_SLICES": {"MEGASCALE_NUM_SLICES": "2", "TPU_WORKER_HOSTNAMES": "a,b"},
    "TPU_ACCELERATOR_TYPE": {"TPU_ACCELERATOR_TYPE": "v5litepod-16"},
    "JOB_COMPLETION_INDEX": {"JOB_COMPLETION_INDEX": "3"},
}


@pytest.mark.parametrize("source", LAUNCHED)
def test_one_of_several_never_trains_by_itself(source, monkeypatch):
    """jax asks the cluster where the environment does not know everything, and whoever finds nobody is refused."""
    asked = []
    for name, value in LAUNCHED[source].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda **words: asked.append(words))
    with pytest.raises(UserError, match=rf"{source} says that several processes were started, but this one found no"):
        hosts.join(HostsConfig())
    (words,) = asked
    expected = {"PMI_SIZE": (4, 2), "MEGASCALE_NUM_SLICES": (4, None)}.get(source, (None, None))
    assert (words["num_processes"], words["process_id"]) == expected
    with pytest.raises(UserError, match=rf"the renderer runs in one process, but {source} says that several"):
        hosts.refuse_several("the renderer")
    hosts.join(HostsConfig(count=1))  # said by hand
    assert len(asked) == 1


def test_who_stands_alone_in_a_cluster_is_told_what_to_give(monkeypatch):
    def initialize(**_):
        raise RuntimeError("Failed to recognize coordinator address t1v-0")

    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-16")
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(UserError, match=r"this process did not meet the others .*; or --hosts.count 1, if this is"):
        hosts.join(HostsConfig())


def test_what_is_no_number_is_named():
    with pytest.raises(UserError, match=r"JAX_NUM_PROCESSES=two of the environment is no number"):
        hosts.processes_of_environment({"JAX_NUM_PROCESSES": "two"})


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    names = ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NODELIST", "TPU_WORKER_HOSTNAMES")
    for name in (*names, "MEGASCALE_NUM_SLICES", "TPU_ACCELERATOR_TYPE", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)


def test_alone_nothing_is_started():
    hosts.join(HostsConfig())
    hosts.join(HostsConfig(count=1))
    assert hosts.is_first()
    with pytest.raises(ZeroDivisionError), hosts.ending_together():  # alone, an error is the caller's
        _ = 1 / 0


@pytest.mark.parametrize(("processes", "saved"), [(1, [4]), (2, [])])
def test_what_fails_on_one_of_several_processes_is_not_saved(processes, saved, tmp_path, monkeypatch):
    """A save waits for all processes, and the others know nothing of the failure."""
    steps = []
    state = TrainState.create({"kernel": jnp.ones(3)}, optax.sgd(1.0), jax.random.key(0))
    with Checkpoints(tmp_path, 3) as checkpoints, monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", lambda step, *_: steps.append(step))
        patched.setattr(jax, "process_count", lambda: processes)
        about = About(Config(), np.zeros(58), ("c",) * 58)
        with pytest.raises(ZeroDivisionError), saved_if_it_fails(checkpoints, 4, state, about):
            _ = 1 / 0
    assert steps == saved


def test_processes_that_do_not_know_of_each_other_are_told_what_to_give(monkeypatch):
    def initialize(**_):  # the real one refuses a process that has computed already, as this one may have
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(UserError, match=r"2 processes can't find each other .*--hosts.coordinator HOST:PORT"):
        hosts.join(HostsConfig(count=2, index=0))


def test_before_others_are_waited_for_the_log_says_how_long_and_which_flags_name_them(monkeypatch, caplog):
    """jax ends a process that waits in vain by SIGABRT: no sentence can come after."""
    waits = []

    def initialize(**words):
        assert "2 processes" in caplog.text
        waits.append(words["initialization_timeout"])

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match="found no other"):
        hosts.join(HostsConfig(count=2, index=0, coordinator="localhost:1"))
    assert f"waiting up to {waits[0]} seconds" in caplog.text
    for flag in ("--hosts.coordinator", "--hosts.count", "--hosts.index"):
        assert flag in caplog.text


def test_contradictions_are_refused():
    with pytest.raises(UserError, match=r"hosts.count -1 must be at least 0"):
        HostsConfig(count=-1)
    with pytest.raises(UserError, match=r"hosts.timeout 0 must be at least 1"):
        HostsConfig(timeout=0)
