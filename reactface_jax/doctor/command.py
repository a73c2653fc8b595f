"""`reactface doctor`: what this machine has, what is missing for which command, and the line that installs it."""

from collections.abc import Iterable, Sequence

import tyro

from reactface_jax import arguments
from reactface_jax.doctor import report
from reactface_jax.doctor.needs import NEEDS
from reactface_jax.doctor.packages import packages_of, version_of
from reactface_jax.doctor.probes import PROBES, Probed, result_of, start
from reactface_jax.errors import reports_user_errors

SECONDS = 120.0
"""For a probe; a first start from a slow disk takes long."""


def doctor(commands: tyro.conf.Positional[tuple[str, ...]] = ()) -> None:
    """Says what this machine has, and what is missing for which command.

    The exit code is 0 if everything that is installed works, and the commands that are named can run; else 1.

    Args:
      commands: those that must work, such as `react live`; without any, a missing package is no fault.
    """
    for name in commands:
        arguments.check_choice(name, list(NEEDS), "reactface")
    healthy = _print(report.machine())
    packages = packages_of()
    processes = {
        name: start(probe) for name, probe in PROBES.items() if all(version_of(each) for each in probe.packages)
    }
    try:
        healthy &= _print(report.installed(packages))
        print("\nwhat works", flush=True)
        found: dict[str, Probed | None] = {}
        for name, probe in PROBES.items():
            found[name] = result_of(processes[name], SECONDS) if name in processes else None
            healthy &= _print([report.probed(probe, found[name])])
    finally:
        for process in processes.values():
            process.kill()
    healthy &= _print(report.unused_accelerator(found["devices"]))
    healthy &= _print(report.commands(packages, found, commands))
    raise SystemExit(0 if healthy else 1)


def _print(lines: Iterable[report.Line]) -> bool:
    """Prints lines as they come; whether all are as they should be."""
    healthy = True
    for line, good in lines:
        print(line, flush=True)
        healthy &= good
    return healthy


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `doctor` on the words of a command line, the program's own by default."""
    arguments.run(doctor, words, prog="reactface doctor")


if __name__ == "__main__":
    main()
