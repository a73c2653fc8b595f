"""The processes of one job: how they find each other, who speaks, and how all of them end when one does.

`jax.distributed` does the work. One process a host with all its devices (TPU), or one a device (SLURM, MPI): both go.
"""

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

import jax
from jax.experimental import multihost_utils

from reactface_jax.config import HostsConfig
from reactface_jax.errors import INTERRUPTED, UserError

log = logging.getLogger(__name__)

LOST = 75
"""Exit code of a process whose job lost another process, or was stopped before its last step: EX_TEMPFAIL, "try again
later"."""

_PATIENCE = 300  # seconds until those that started later have to be there
_COUNTS = ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # the user's, Open MPI's, MPICH's
_INDICES = ("JAX_PROCESS_ID", "PMI_RANK")  # Open MPI's and SLURM's are read by jax itself
_CORES_NOT_CHIPS = ("v2", "v3", "v4", "v5p")  # what the number in the name of a TPU slice counts
_LOST_WORDS = ("gloo", "nccl", "coordination", "connection", "peer", "heartbeat", "unavailable", "deadline")


class Stopped(SystemExit):
    """All processes of the job end at one step that is saved, and whoever started them is to start them again."""

    def __init__(self) -> None:
        super().__init__(LOST)


def join(config: HostsConfig) -> None:
    """Joins the job's processes; does nothing if this is the only one. It has to be called before JAX is used.

    If the others do not come, `jax.distributed` ends this process by SIGABRT; the log says before who is waited for.

    Raises:
      UserError: the environment and the configuration do not say who and where the others are.
    """
    started = processes_of_environment(os.environ)
    count = config.count or started.processes
    if count == 1:
        return
    index = config.index if config.index >= 0 else _first_integer(os.environ, _INDICES)
    how_many = f"{count} processes" if count else f"several processes, as {started.source} says, but"
    log.info(
        f"waiting up to {_PATIENCE} seconds for the job's {f'{count} ' if count else ''}processes; if this is aborted, "
        "start all of them, with the same --hosts.count and --hosts.coordinator, each with its own --hosts.index"
    )
    try:
        jax.distributed.initialize(
            coordinator_address=config.coordinator or None,
            num_processes=count,
            process_id=index,
            initialization_timeout=_PATIENCE,
            heartbeat_timeout_seconds=config.timeout,
            shutdown_timeout_seconds=config.timeout,
        )
    except ValueError as error:
        raise UserError(
            f"{how_many} can't find each other ({str(error).rstrip('.')}); give --hosts.coordinator HOST:PORT, "
            f"the same on all, and --hosts.index{_or_one(count)}"
        ) from error
    except (jax.errors.JaxRuntimeError, RuntimeError) as error:
        who = f"process {index} of {count}" if count else "this process"
        raise UserError(
            f"{who} did not meet the others ({_first_line(error)}); start all of them, with the "
            f"same --hosts.coordinator and each with its own --hosts.index{_or_one(count)}"
        ) from error
    if jax.process_count() == 1:
        raise UserError(
            f"{started.source or '--hosts.count'} says that several processes were started, but this one found no "
            "other; give --hosts.count, --hosts.index and --hosts.coordinator, or --hosts.count 1"
        )
    if jax.default_backend() == "cpu":
        # With jax 0.10.2, processes that read a program from there instead of compiling it may wait for each other for
        # ever in its first sum over them (seen with BeLFusion's step).
        jax.config.update("jax_compilation_cache_dir", None)


class Started(NamedTuple):
    """What the environment says of the job."""

    processes: int | None
    """Processes; 1 if nothing is said, None if there are several and only the cluster knows how many."""
    source: str = ""
    """The variable that says it."""


def processes_of_environment(environment: Mapping[str, str]) -> Started:
    """How many processes the launcher has started. Raises `UserError` for a count that is no number."""
    for name in _COUNTS:
        if (count := _integer(environment, name)) is not None:
            return Started(count, name)
    if "SLURM_STEP_NODELIST" in environment:  # inside srun; sbatch and salloc by themselves run one process
        return Started(_integer(environment, "SLURM_NTASKS") or 1, "SLURM_NTASKS")
    slices = _integer(environment, "MEGASCALE_NUM_SLICES") or 1
    if "TPU_WORKER_HOSTNAMES" in environment:
        workers = len(environment["TPU_WORKER_HOSTNAMES"].split(","))
        return Started(slices * workers, "TPU_WORKER_HOSTNAMES" if slices == 1 else "MEGASCALE_NUM_SLICES")
    if slices > 1:
        return Started(None, "MEGASCALE_NUM_SLICES")
    if _hosts_of_slice(environment.get("TPU_ACCELERATOR_TYPE", "")) > 1:
        return Started(None, "TPU_ACCELERATOR_TYPE")
    if "JOB_COMPLETION_INDEX" in environment:  # an indexed job of Kubernetes
        return Started(None, "JOB_COMPLETION_INDEX")
    return Started(1)


def refuse_several(what: str) -> None:
    """Raises `UserError` if the launcher has started several processes of something that runs in one."""
    started = processes_of_environment(os.environ)
    if started.processes != 1:
        raise UserError(
            f"{what} runs in one process, but {started.source} says that several were started; start one, or unset it"
        )


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
    except Stopped:
        raise
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


def _hosts_of_slice(name: str) -> int:
    """Machines of a TPU slice such as v5litepod-16: they have four chips each, and small slices lie on one."""
    kind, _, size = name.partition("-")
    if not size.isdigit():
        return 1
    chips = int(size) // 2 if kind in _CORES_NOT_CHIPS else int(size)
    return 1 if chips <= (4 if kind in _CORES_NOT_CHIPS else 8) else chips // 4


def _or_one(count: int | None) -> str:
    return "" if count else "; or --hosts.count 1, if this is the only one"


def _first_integer(environment: Mapping[str, str], names: Sequence[str]) -> int | None:
    return next((found for name in names if (found := _integer(environment, name)) is not None), None)


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
