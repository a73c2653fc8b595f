"""The portrait renderer's run on disk: checkpoints/STEP/, each a folder of weights that `load_params` reads, too.

params.safetensors  config.json     what `react --renderer-weights` takes
optimizer.msgpack                   what a training goes on with
SHA256SUMS                          of these
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flax import serialization

from reactface_jax.errors import UserError
from reactface_jax.files import make_folder
from reactface_jax.weights.checksums import DamagedError
from reactface_jax.weights.params_file import CONFIG_NAME, load_params, save_params
from reactface_jax.weights.run import FOLDER

log = logging.getLogger(__name__)

OPTIMIZER = "optimizer.msgpack"
_KEPT = 2  # the newest and, should that be damaged, the one before


def save_checkpoint(workdir: Path, step: int, state: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Writes a checkpoint, as a whole, and removes the oldest.

    Args:
      workdir: the run's directory.
      step: updates made so far.
      state: "params" and "optimizer".
      about: what `config.json` is to say.

    Raises:
      UserError: it can't be written.
    """
    folder = workdir / FOLDER
    make_folder(folder)
    shutil.rmtree(folder / str(step), ignore_errors=True)  # one that could not be read
    more = {OPTIMIZER: serialization.to_bytes(state["optimizer"])}
    save_params(folder / str(step), state["params"], {**about, "step": step}, more)
    for old in _steps(workdir)[:-_KEPT]:
        shutil.rmtree(folder / str(old), ignore_errors=True)


def restore_newest(
    workdir: Path, state: Mapping[str, Any], check: Callable[[dict[str, Any]], None]
) -> tuple[int, dict[str, Any]] | None:
    """Step and state of the newest checkpoint that is whole; None if there is no checkpoint.

    Args:
      workdir: the run's directory.
      state: one of the same shapes.
      check: raises `UserError` if the run can't go on from what a checkpoint's `config.json` says.

    Raises:
      UserError: what `check` raises, or no checkpoint is whole.
    """
    found = _newest(workdir)
    if found is None:
        return None
    folder, params, about = found
    check(about)
    try:
        optimizer = serialization.from_bytes(state["optimizer"], (folder / OPTIMIZER).read_bytes())
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder / OPTIMIZER} does not fit this training; start again with --overwrite") from error
    return about["step"], {"params": params, "optimizer": optimizer}


def load_renderer(folder: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a renderer: the parameters as JAX arrays, and the configuration as dictionaries.

    Args:
      folder: what `reactface_jax.convert pirender` wrote, a training's directory or one of its checkpoints.

    Raises:
      UserError: it is none of these, or damaged.
    """
    found = _newest(Path(folder))
    return load_params(folder) if found is None else found[1:]


def _newest(workdir: Path) -> tuple[Path, dict[str, Any], dict[str, Any]] | None:
    """Folder, parameters and configuration of the newest checkpoint that is whole; None if there is no checkpoint."""
    steps = _steps(workdir)
    for step in reversed(steps):
        folder = workdir / FOLDER / str(step)
        try:
            return folder, *load_params(folder)
        except DamagedError as error:
            log.warning("%s; the checkpoint before is sought", error)
    if steps:
        raise UserError(f"no checkpoint in {workdir / FOLDER} is whole ({len(steps)} tried); restore a copy, or train")
    return None


def _steps(workdir: Path) -> list[int]:
    folder = workdir / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def check_layout(workdir: Path) -> None:
    """Raises `UserError` if the directory holds a run of a version that kept one checkpoint, in files of its own."""
    if (workdir / CONFIG_NAME).exists() and (workdir / "state.msgpack").exists():
        raise UserError(
            f"{workdir} holds a run of an older version, which still draws but can't be resumed; give another directory"
        )
