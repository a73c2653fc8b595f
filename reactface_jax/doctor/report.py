"""A diagnosis as lines of text, each with whether it is a fault."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from reactface_jax.compiled_programs import default_folder
from reactface_jax.doctor.needs import NEEDS
from reactface_jax.doctor.packages import BASE, OURS, PROJECT, Package, version_of
from reactface_jax.doctor.probes import PROBES, Probe, Probed
from reactface_jax.worker_pool import num_cores

LITTLE_DISK = 5 * 2**30
"""Bytes below which a run's checkpoints or a data set soon fill the disk."""
GOOD, ABSENT, BAD = "ok", "--", "!!"

Line = tuple[str, bool]
"""A line, and whether what it says is as it should be."""


def machine() -> Iterator[Line]:
    """Python, this project, processors and the free space where things are written."""
    yield f"{PROJECT} {version_of(PROJECT) or 'from a folder'}, Python {sys.version.split()[0]}, {sys.platform}", True
    yield f"{num_cores()} processors", True
    folders = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    if cache := default_folder():
        folders["compiled programs"] = Path(cache).expanduser()
    for name, folder in folders.items():
        yield _disk(name, folder)


def _disk(name: str, folder: Path) -> Line:
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    try:
        free = shutil.disk_usage(there or Path.cwd()).free
    except OSError as error:
        return f"{BAD} free disk, {name} ({folder}): can't be read ({error.strerror})", False
    mark, advice = (GOOD, "") if free >= LITTLE_DISK else (BAD, ": free some, or work elsewhere")
    return f"{mark} free disk, {name} ({folder}): {free / 2**30:.1f} GiB{advice}", True


def installed(packages: Mapping[str, Sequence[Package]]) -> Iterator[Line]:
    """Each extra's packages, with their versions."""
    yield "\npackages", True
    if not packages[BASE]:
        yield f"{ABSENT} the project's metadata can't be read: versions are not compared", True
    for extra in (BASE, *OURS):
        names = ", ".join(f"{each.name} {each.version}" for each in packages[extra] if each.version and each.fits)
        lacking = [each.name for each in packages[extra] if each.version is None]
        title = extra or "base"
        if names:
            yield f"{GOOD} {title}: {names}", True
        if lacking:
            mark = BAD if extra == BASE else ABSENT
            yield f"{mark} {title}: not installed: {', '.join(lacking)}; {install(extra)}", extra != BASE
        for each in packages[extra]:
            if not each.fits:
                wanted = f"{each.name} {each.version} is installed, and {each.wanted} is wanted"
                yield f"{BAD} {title}: {wanted}; {install(extra)}", False


def install(*extras: str) -> str:
    """The line that installs extras."""
    names = ",".join(extra for extra in extras if extra)
    return f"pip install '{PROJECT}[{names}]'" if names else f"pip install {PROJECT}"


def probed(probe: Probe, found: Probed | None) -> Line:
    """What a probe found; None if it was not tried."""
    if found is None:
        lacking = [name for name in probe.packages if version_of(name) is None]
        return f"{ABSENT} {probe.title}: not tried without {', '.join(lacking)}", True
    if found.works:
        return f"{GOOD} {probe.title}: {found.says}", True
    return f"{BAD} {probe.title}: {found.says}; try {probe.mend}", False


def unused_accelerator(devices: Probed | None) -> Iterator[Line]:
    """Says so if the machine has an accelerator and JAX does not see it."""
    if devices is None or not devices.works:
        return
    for path, kind, extra in (("/dev/nvidia0", "GPU", "cuda"), ("/dev/accel0", "TPU", "tpu")):
        if Path(path).exists() and kind not in devices.says and "CUDA" not in devices.says:
            yield f"{BAD} this machine has a {kind} that JAX does not use; {install(extra)}", True


def commands(
    packages: Mapping[str, Sequence[Package]], found: Mapping[str, Probed | None], wanted: Sequence[str]
) -> Iterator[Line]:
    """What each command lacks. A fault only for those that are `wanted`."""
    yield "\ncommands", True
    for name, needs in NEEDS.items():
        extras = [
            extra for extra in needs.extras if any(each.version is None or not each.fits for each in packages[extra])
        ]
        broken = [PROBES[probe] for probe in needs.probes if (result := found[probe]) is not None and not result.works]
        lacks = [install(*extras)] if extras else []
        lacks += [f"{probe.title} does not work: try {probe.mend}" for probe in broken]
        if not lacks:
            yield f"{GOOD} {name}", True
            continue
        note = f" ({needs.note})" if needs.note else ""
        yield f"{BAD if name in wanted else ABSENT} {name}: {'; '.join(lacks)}{note}", name not in wanted
