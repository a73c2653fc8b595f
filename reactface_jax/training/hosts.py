"""The processes of one job: how they find each other, who speaks, and how all of them end when one does.

`jax.distributed` does the work. One process a host with all its devices (TPU), or one a device (SLURM, MPI): both go.
"""

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import NoReturn

import jax
from jax.experimental import multihost_utils

from reactface_jax.config import HostsConfig
from reactface_jax.errors import INTERRUPTED, UserError

log = logging.getLogger(__name__)

LOST = 75
"""Exit code of a process whose job has lost another: EX_TEMPFAIL, "try again later"."""

_COUNTS = ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE")
_LOST_WORDS = ("gloo", "nccl", "coordination", "connection", "peer", "heartbeat", "unavailable", "deadline")


def join(config: HostsConfig) -> None:
    """Joins the job's processes; does nothing if this is the only one. It has to be called before JAX is used.

    Raises:
      UserError: the environment and the configuration do not say who and where the others are, or they do not come.
    """
    count = config.count or count_of_environment(os.environ)
    if count == 1:
        return
    index = config.index if config.index >= 0 else _integer(os.environ, "JAX_PROCESS_ID")
    try:
        jax.distributed.initialize(
            coordinator_address=config.coordinator or None,
            num_processes=count,
            process_id=index,
            heartbeat_timeout_seconds=config.timeout,
            shutdown_timeout_seconds=config.timeout,
        )
    except ValueError as error:
        raise UserError(
            f"{count} processes can't find each other ({str(error).rstrip('.')}); give --hosts.coordinator HOST:PORT, "
            "the same on all, and --hosts.index"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        raise UserError(
            f"process {index} of {count} did not meet the others ({_first_line(error)}); start all of them, with the "
            "same --hosts.coordinator and each with its own --hosts.index"
        ) from error


def count_of_environment(environment: Mapping[str, str]) -> int:
    """How many processes the launcher has started, as far as the environment says; 1 if it says nothing."""
    for name in _COUNTS:
        if (count := _integer(environment, name)) is not None:
            return count
    if "SLURM_STEP_NODELIST" in environment:  # inside srun; sbatch and salloc by themselves run one process
        return _integer(environment, "SLURM_NTASKS") or 1
    return len(environment.get("TPU_WORKER_HOSTNAMES", "").split(","))


def is_first() -> bool:
    """Whether this process speaks for the job: log, curves, removal of an old run."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns once every process of the job has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """An error inside ends this process at once, with one message, so that the others see it gone and end too.

    Leaving as usual would wait for processes that wait for this one. Where nothing notices that a process is gone,
    because its host is, `jax.distributed` ends the rest after `hosts.timeout` seconds without a sign of life.
    """
    try:
        yield
    except BaseException as error:
        if jax.process_count() == 1:
            raise
        _leave(error)


def _leave(error: BaseException) -> NoReturn:
    who = f"process {jax.process_index()} of {jax.process_count()}"
    code = 1
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
        code = 2
    elif isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    elif isinstance(error, jax.errors.JaxRuntimeError) and any(w in str(error).lower() for w in _LOST_WORDS):
        print(
            f"error: {who} has lost another one ({_first_line(error)}); see its log, then start the job again with "
            "--resume: it goes on from the newest checkpoint",
            file=sys.stderr,
        )
        code = LOST
    else:
        traceback.print_exception(error)
        print(f"error: {who} ends with {type(error).__name__}, and the job with it", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _integer(environment: Mapping[str, str], name: str) -> int | None:
    word = environment.get(name, "")
    if not word:
        return None
    if not word.isdigit():
        raise UserError(
            f"{name}={word} of the environment is no number; unset it, or give --hosts.count and --hosts.index"
        )
    return int(word)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200].rstrip(".")
