"""A run's directory: whether it holds a run, whose it is, and how a new one takes an old one's place."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name, make_folder, sweep
from reactface_jax.weights.run import FOLDER

TENSORBOARD = "tensorboard"
DAMAGED_FOLDER = "damaged_checkpoints"  # what a resumed run could not read
OVERWRITTEN = "overwritten"  # the old run, until the new one has made a step

_PARTS = (FOLDER, DAMAGED_FOLDER, TENSORBOARD)
_METADATA = "_CHECKPOINT_METADATA"  # Orbax writes it before the first item: a killed save may leave nothing else
_ITEMS = {"params", "average", "progress", "about", "metrics", "params.safetensors", "optimizer.msgpack"}


def check_workdir(workdir: str | Path, *, resume: bool, overwrite: bool) -> None:
    """Raises `UserError` unless the run's directory and what is to become of it fit together."""
    workdir = Path(workdir)
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other; give one")
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir {workdir} is a file; give a directory")
    if resume and not workdir.is_dir():
        raise UserError(f"--workdir {workdir} does not exist, so there is nothing to resume; leave --resume out")
    if (foreign := _foreign(workdir / FOLDER)) is not None:
        raise UserError(f"--workdir {workdir} holds {foreign}, which is of no training here; give another directory")
    started = (workdir / FOLDER).exists() and any((workdir / FOLDER).iterdir())  # empty: ended before it saved
    if started and not (resume or overwrite):
        raise UserError(f"--workdir {workdir} holds a run already; give --resume, --overwrite or another directory")


@contextlib.contextmanager
def old_run_aside(workdir: Path) -> Iterator[Callable[[], None]]:
    """Moves the run in a directory aside while inside. To be entered by one process, which holds the directory.

    Yields:
      To be called once the new run has made a step: removes the old one. Where that never happens, because of an
      error or a kill, the old run is put back, by leaving or by the next `put_back`.
    """
    put_back(workdir)
    moved = [name for name in _PARTS if (workdir / FOLDER).exists() and (workdir / name).exists()]
    if moved:
        make_folder(workdir / OVERWRITTEN)
    for name in sorted(moved, key=lambda name: name == FOLDER):  # last: what is left of a kill is still a run
        (workdir / name).rename(workdir / OVERWRITTEN / name)

    def remove() -> None:
        if (workdir / OVERWRITTEN).exists():
            doomed = aside_name(workdir / OVERWRITTEN)
            (workdir / OVERWRITTEN).rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    try:
        yield remove
    finally:
        put_back(workdir)


def put_back(workdir: Path) -> None:
    """Puts back the old run of a new one that made no step, and removes what that one left."""
    sweep(workdir)
    old = workdir / OVERWRITTEN
    if not old.is_dir():
        return
    for name in _PARTS:
        if (old / name).exists():
            shutil.rmtree(workdir / name, ignore_errors=True)
            (old / name).rename(workdir / name)
    old.rmdir()


def _foreign(checkpoints: Path) -> Path | None:
    """Something in a folder of checkpoints that no training here wrote; None if there is nothing of the kind."""
    if not checkpoints.exists():
        return None
    if not checkpoints.is_dir():
        return checkpoints
    for step in checkpoints.iterdir():
        if step.name.startswith("."):
            continue
        content = {path.name.split(".orbax-checkpoint-tmp")[0] for path in step.iterdir()} if step.is_dir() else {""}
        content -= {_METADATA}
        if not step.name.split(".")[0].isdigit() or (content and not content & _ITEMS):
            return step
    return None
