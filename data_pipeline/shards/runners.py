"""Who does the work of writing shards: processes of this machine, or Apache Beam's workers."""

import importlib.util
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from reactface_jax.errors import UserError
from reactface_jax.worker_pool import check_workers, worker_pool


@runtime_checkable  # Beam looks at types
class Job(Protocol):
    """Work whose result is a file; so it can be done anywhere, and again."""

    def run(self) -> None: ...


J = TypeVar("J", bound=Job)


class Runner(Protocol):
    """Does jobs in any order, and yields each when it is done."""

    def run(self, jobs: Sequence[J]) -> Generator[J, None, None]: ...


@dataclass(frozen=True)
class Processes:
    """Processes of this machine; with one worker, only this process."""

    workers: int = 1

    def run(self, jobs: Sequence[J]) -> Generator[J, None, None]:
        """Raises `UserError` when a process was ended from outside, and whatever a job raises."""
        if self.workers > 1 and len(jobs) > 1:
            yield from self._run_side_by_side(jobs)
            return
        for job in jobs:
            job.run()
            yield job

    def _run_side_by_side(self, jobs: Sequence[J]) -> Generator[J, None, None]:
        waiting = iter(jobs)
        running: dict[Future[None], J] = {}
        with worker_pool(self.workers) as pool:
            while True:
                while len(running) < 2 * self.workers and (job := next(waiting, None)) is not None:
                    running[pool.submit(job.run)] = job
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    yield running.pop(future)


@dataclass(frozen=True)
class Beam:
    """An Apache Beam pipeline.

    Raises:
      UserError: Apache Beam is not installed, an option has no "=", or the pipeline fails.
    """

    runner: str  # of Beam: DirectRunner, DataflowRunner, SparkRunner, FlinkRunner, ...
    options: Sequence[str] = ()  # of the runner, as name=value, such as project=my-project

    def __post_init__(self) -> None:
        for option in self.options:
            if "=" not in option:
                raise UserError(
                    f"--beam-options {option} is not of the form name=value; write for example project=NAME"
                )
        if importlib.util.find_spec("apache_beam") is None:
            raise UserError(
                "--beam needs Apache Beam, which is not installed; install it as docs/data.md says, or leave --beam out"
            )

    def run(self, jobs: Sequence[J]) -> Generator[J, None, None]:
        """Waits for the pipeline, then yields all jobs at once."""
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions

        if not jobs:
            return
        flags = [f"--runner={self.runner}", *(f"--{option.removeprefix('--')}" for option in self.options)]
        try:
            with apache_beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
                _ = pipeline | apache_beam.Create(jobs) | apache_beam.Reshuffle() | apache_beam.Map(_run)
        except Exception as error:  # what a worker raises arrives as RuntimeError, or as the runner's own
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(
                f"the Beam pipeline on {self.runner} failed ({lines[0]}); mend that and start again, what is done "
                "already is kept"
            ) from error
        yield from jobs


def _run(job: Job) -> None:
    job.run()


def runner_of(workers: int, beam: str | None, beam_options: Sequence[str]) -> Runner:
    """The runner that a command's flags name. Raises `UserError` where they can't be used."""
    check_workers(workers)
    if beam_options and beam is None:
        raise UserError("--beam-options needs --beam; name the runner, for example --beam DirectRunner")
    return Processes(workers) if beam is None else Beam(beam, beam_options)
