"""A training run on disk, as everybody reads it: its checkpoints' folder, what they belong to, the trained model."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import Float

from reactface_jax.config import Config, config_from_json
from reactface_jax.errors import UserError

FOLDER = "checkpoints"  # inside a run's directory
PACKAGES = ("reactface-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
NO_SCORE = -math.inf

_SLICED_FROM = 16 * 2**20  # bytes


@dataclass(frozen=True)
class About:
    """What a checkpoint's arrays belong to."""

    config: Config
    mean_face: Float[np.ndarray, " C"]
    """Of the data: add it to the model's output for raw coefficients."""
    coefficient_names: tuple[str, ...]
    data_step: int = 0
    """Batches that training has taken; the loader starts again behind them."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=lambda: versions())


@dataclass(frozen=True)
class Run:
    """A trained model with what its user needs."""

    config: Config
    params: Any
    step: int
    mean_face: Float[np.ndarray, " C"]
    coefficient_names: tuple[str, ...]
    versions: Mapping[str, str]


class DamagedError(UserError):
    """A checkpoint that can't be read."""


def load_run(run_dir: str | Path, step: int | Literal["best"] | None = None, *, average: bool = True) -> Run:
    """Reads a trained model, without its optimiser, onto this machine's first device.

    Args:
      run_dir: the `--workdir` of a training run.
      step: which checkpoint; `best` is that of the highest validation score; the newest by default.
      average: take the moving average of the parameters, if the run has one, instead of the parameters themselves.

    Raises:
      UserError: there is no such run or checkpoint, it is damaged, or another version of this package wrote it.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise UserError(f"run {run_dir} does not exist; give the --workdir of a training run")
    if not (run_dir / FOLDER).is_dir():
        raise UserError(f"{run_dir} holds no checkpoints; give the --workdir of a training run")
    options = ocp.CheckpointManagerOptions(best_fn=score_of, create=False, enable_async_checkpointing=False)
    with open_manager(run_dir, options) as manager:
        steps = sorted(manager.all_steps())
        if not steps:
            raise UserError(f"{run_dir} has no checkpoint yet; wait for the first or start the training again")
        if step == "best":
            best = manager.best_step()
            if best is None or not manager.metrics(best):
                raise UserError(f"{run_dir} has no validation score yet, so no best checkpoint; give a step or none")
            step = int(best)
        if step is not None and step not in steps:
            raise UserError(f"{run_dir} has no checkpoint of step {step}; it has {', '.join(map(str, steps))}")
        step = steps[-1] if step is None else step
        about = read_about(manager, run_dir, step)
        with damage_reported(run_dir, step):
            device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            item = "average" if average and about.config.train.ema > 0 else "params"
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), manager.item_metadata(step)[item]
            )
            restored = manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(abstract)}))
    return Run(about.config, restored[item], step, about.mean_face, about.coefficient_names, about.versions)


def versions() -> dict[str, str]:
    """What runs: Python and the packages that decide the numbers."""
    return {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in PACKAGES}


def open_manager(run_dir: Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    """Orbax's manager of a run's checkpoints, with the handlers of their items."""
    _save_small_arrays_whole()
    handlers = {
        "params": ocp.StandardCheckpointHandler(),
        "average": ocp.StandardCheckpointHandler(),
        "progress": ocp.StandardCheckpointHandler(),
        "about": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager((run_dir / FOLDER).absolute(), options=options, item_handlers=handlers)


def read_about(manager: ocp.CheckpointManager, run_dir: Path, step: int) -> About:
    """What a checkpoint's arrays belong to. Raises `UserError` if it is damaged or of another version."""
    with damage_reported(run_dir, step):
        values = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        return About(
            config=config_from_json(values["config"]),
            mean_face=np.asarray(values["mean_face"], np.float32),
            coefficient_names=tuple(values["coefficient_names"]),
            data_step=values["data_step"],
            versions=values["versions"],
        )


@contextlib.contextmanager
def damage_reported(run_dir: Path, step: int) -> Iterator[None]:
    """Turns whatever reading a checkpoint raises into one sentence; the cause stays chained."""
    folder = run_dir / FOLDER / str(step)
    try:
        yield
    except UserError as error:
        raise UserError(f"checkpoint {folder}: {error}") from error
    except Exception as error:
        raise DamagedError(
            f"checkpoint {folder} is damaged ({type(error).__name__}); remove this folder to use the one before"
        ) from error


def score_of(metrics: Mapping[str, float] | None) -> float:
    """A checkpoint's validation score; the worst of all if it has none."""
    return metrics["score"] if metrics else NO_SCORE  # an older run has none


@functools.cache
def _save_small_arrays_whole() -> None:
    """Orbax has each replica write a slice of every array, and compiles a program for each shape to cut it.

    For arrays of some kilobytes that costs a quarter of a minute and gains nothing.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)  # it warns that a handler is replaced
    handler = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=_SLICED_FROM)
    ocp.type_handlers.register_type_handler(jax.Array, handler, override=True)
    absl.setLevel(level)
