"""A training run on disk, as everybody reads it: its checkpoints' folder, what they belong to, the trained model."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
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
from reactface_jax.weights.checksums import CHECKSUMS, DamagedError, verify
from reactface_jax.weights.params_file import CONFIG_NAME

log = logging.getLogger(__name__)

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
    has_checksums: bool = True
    """Of every item; a checkpoint of an older version of this package has none."""


@dataclass(frozen=True)
class Run:
    """A trained model with what its user needs."""

    config: Config
    params: Any = dataclasses.field(repr=False)
    step: int
    mean_face: Float[np.ndarray, " C"] = dataclasses.field(repr=False)
    """The model's output plus this is raw coefficients."""
    coefficient_names: tuple[str, ...]
    versions: Mapping[str, str]
    method_state: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    """What the method carries besides parameters; nothing of ReactFace."""


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
        raise UserError(_holds_no_run(run_dir))
    steps = steps_of(run_dir)
    if not steps:
        raise UserError(f"{run_dir} has no checkpoint yet; wait for the first or start the training again")
    if step is None:
        for newest in reversed(steps):
            try:
                return _load(run_dir, newest, average)
            except DamagedError as error:
                if newest == steps[0]:
                    raise
                log.warning("%s; the one before is taken", error)
    if step == "best":
        step = best_step(read_scores(run_dir))
        if step is None:
            raise UserError(f"{run_dir} has no validation score yet, so no best checkpoint; give a step or none")
    if step not in steps:
        raise UserError(f"{run_dir} has no checkpoint of step {step}; it has {', '.join(map(str, steps))}")
    return _load(run_dir, step, average)


def _holds_no_run(folder: Path) -> str:
    """The sentence about a folder without checkpoints."""
    if (folder / CONFIG_NAME).is_file():
        return (
            f"{folder} was converted, so it is no training run, which is needed here; `reactface eval --converted` and "
            "`reactface react --checkpoint` take it"
        )
    runs = [path for path in folder.iterdir() if (path / FOLDER).is_dir()]
    hint = f"did you mean {runs[0]}?" if len(runs) == 1 else "give the --workdir of a training run"
    return f"{folder} holds no checkpoints; {hint}"


def _load(run_dir: Path, step: int, average: bool) -> Run:
    about = read_about(run_dir, step)
    item = "average" if average and about.config.train.ema > 0 else "params"
    folder = checkpoint_folder(run_dir, step)
    with damage_reported(folder):
        params = _read_item(folder / item, about)
        has_state = (folder / "method_state").is_dir()
        method_state = _read_item(folder / "method_state", about) if has_state else {}
    names = about.coefficient_names
    return Run(about.config, params, step, about.mean_face, names, about.versions, method_state)


def _read_item(folder: Path, about: About) -> Any:
    """An item's arrays, onto this machine's first device."""
    verify(folder, required=about.has_checksums)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
        ocp.StandardCheckpointHandler().metadata(folder),
    )
    return read_arrays(folder, abstract)


def versions() -> dict[str, str]:
    """What runs: Python and the packages that decide the numbers."""
    return {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in PACKAGES}


def checkpoint_folder(run_dir: Path, step: int) -> Path:
    """Where a run's checkpoint of a step lies, absolute."""
    return (run_dir / FOLDER / str(step)).absolute()


def steps_of(run_dir: Path) -> list[int]:
    """The steps of a run's complete checkpoints, in order. Nothing of them is read."""
    return sorted(ocp.utils.checkpoint_steps((run_dir / FOLDER).absolute()))


def read_about(run_dir: Path, step: int) -> About:
    """What a checkpoint's arrays belong to. Raises `UserError` if it is damaged or of another version."""
    folder = checkpoint_folder(run_dir, step)
    with damage_reported(folder):
        verify(folder / "about", required=False)
        values = json.loads((folder / "about" / "metadata").read_text())
        verify(folder / "about", required=values.get("has_checksums", False))
        return About(
            config=config_from_json(values["config"]),
            mean_face=np.asarray(values["mean_face"], np.float32),
            coefficient_names=tuple(values["coefficient_names"]),
            data_step=values["data_step"],
            versions=values["versions"],
            has_checksums=values.get("has_checksums", False),
        )


def read_arrays(folder: Path, abstract: Any) -> Any:
    """An item's arrays, in the shapes, types and shardings of `abstract`."""
    save_small_arrays_whole()
    return ocp.StandardCheckpointHandler().restore(folder, args=ocp.args.StandardRestore(abstract))


def read_scores(run_dir: Path) -> dict[int, float]:
    """Steps and validation scores, `NO_SCORE` where there was none; a damaged one is left out, with a warning."""
    scores: dict[int, float] = {}
    for step in steps_of(run_dir):
        folder = checkpoint_folder(run_dir, step) / "metrics"
        try:
            verify(folder, required=(folder.parent / "about" / CHECKSUMS).exists())
            scores[step] = float(json.loads((folder / "metrics").read_text())["score"])
        except FileNotFoundError:
            scores[step] = NO_SCORE
        except (DamagedError, OSError, ValueError, KeyError, TypeError, RecursionError):
            log.warning("the validation score of checkpoint %s is damaged; it counts as none", folder.parent)
    return scores


def best_step(scores: Mapping[int, float]) -> int | None:
    """Step to score: the step of the highest score, the later one of equals; None if there is no score."""
    scored = [(score, step) for step, score in scores.items() if score != NO_SCORE]
    return max(scored)[1] if scored else None


@contextlib.contextmanager
def damage_reported(folder: Path) -> Iterator[None]:
    """Turns whatever reading a checkpoint raises into one sentence; the cause stays chained."""
    try:
        yield
    except DamagedError as error:
        raise DamagedError(f"checkpoint {error}; remove {folder} to use the one before") from error
    except UserError as error:
        raise UserError(f"checkpoint {folder}: {error}") from error
    except Exception as error:
        raise DamagedError(
            f"checkpoint {folder} is damaged ({type(error).__name__}); remove this folder to use the one before"
        ) from error


@functools.cache
def save_small_arrays_whole() -> None:
    """Orbax has each replica write a slice of every array, and compiles a program for each shape to cut it.

    For arrays of some kilobytes that costs a quarter of a minute and gains nothing.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)  # it warns that a handler is replaced
    handler = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=_SLICED_FROM)
    ocp.type_handlers.register_type_handler(jax.Array, handler, override=True)
    absl.setLevel(level)
