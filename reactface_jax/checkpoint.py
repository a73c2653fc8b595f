"""Checkpoints: orbax writes them whole or not at all, and JSON beside the arrays says what they belong to."""

import contextlib
import dataclasses
import difflib
import functools
import importlib.metadata
import logging
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_type_hints

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jaxtyping import Float
from orbax.checkpoint.checkpoint_managers import preservation_policy

from reactface_jax import hosts
from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.files import make_folder
from reactface_jax.train_state import TrainState

FOLDER = "checkpoints"  # inside a run's directory
DAMAGED_FOLDER = "damaged_checkpoints"  # beside it: what a resumed run could not read
PACKAGES = ("reactface-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")

_SLICED_FROM = 16 * 2**20  # bytes
_NO_SCORE = -math.inf

log = logging.getLogger(__name__)

# A resumed run may change these: they do not enter the numbers of a step.
FREE_FIELDS = (
    "data.dir",
    "train.steps",
    "train.log_every",
    "train.eval_every",
    "train.eval_clips",
    "train.patience",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.pretrained_audio",
    "eval.",
    "mesh.",  # exact on the same devices; elsewhere sums run in another order
    "hosts.",
)


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


class Checkpoints:
    """The checkpoints of a run that trains. A context manager: leaving it waits for the last one to be on disk.

    The newest `keep` stay, and the one with the highest score if scores are given. On several hosts all processes call
    the same methods; each writes what its devices hold.
    """

    def __init__(self, run_dir: Path, keep: int):
        self._run_dir = run_dir
        kept = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(n=keep),
                preservation_policy.BestN(n=1, get_metric_fn=_score),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=kept, best_fn=_score, best_mode="max", create=True, cleanup_tmp_directories=True
        )
        self._manager = _manager(run_dir, options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and score of the checkpoint with the highest score; None if none has one."""
        step = self._manager.best_step()
        score = _NO_SCORE if step is None else _score(self._manager.metrics(step))
        return None if step is None or score == _NO_SCORE else (step, score)

    def save(self, step: int, state: TrainState, about: About, score: float | None = None) -> None:
        """Writes in the background; the state's buffers may be donated as soon as this returns.

        Args:
          step: its number.
          state: all of it is written.
          about: what it belongs to.
          score: of a validation, the more the better: the checkpoint with the highest one is kept.
        """
        average = {} if state.average is None else {"average": ocp.args.StandardSave(state.average)}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                progress=ocp.args.StandardSave(_progress(state)),
                about=ocp.args.JsonSave(_to_json(about)),
                **average,
            ),
            metrics={"score": _NO_SCORE if score is None else float(score)},
        )

    def about(self, step: int) -> About:
        """Raises `UserError` if the checkpoint is damaged."""
        return _read_about(self._manager, self._run_dir, step)

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """Reads a checkpoint into the shapes, types and shardings of `abstract`, on whichever devices these are.

        Raises:
          UserError: the checkpoint is damaged.
        """
        with _damage_reported(self._run_dir, step):
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardRestore(abstract.params),
                    progress=ocp.args.StandardRestore(_progress(abstract)),
                    **({} if abstract.average is None else {"average": ocp.args.StandardRestore(abstract.average)}),
                ),
            )
        progress = restored["progress"]
        progress["key"] = jax.random.wrap_key_data(progress["key"])
        return dataclasses.replace(abstract, params=restored["params"], average=restored.get("average"), **progress)

    def restore_newest(self, abstract: TrainState, check: Callable[[About], None]) -> tuple[int, TrainState] | None:
        """Step and state of the newest checkpoint that can be read; None if there is no checkpoint.

        Damaged ones that are newer are told aloud and moved to `DAMAGED_FOLDER`, since their steps will come again.

        Args:
          abstract: as in `restore`.
          check: raises `UserError` if the run can't go on from such a checkpoint.

        Raises:
          UserError: what `check` raises, or no checkpoint can be read; then all stay where they are.
        """
        damaged: dict[int, DamagedError] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            state = None
            try:
                check(self.about(step))
                state = self.restore(step, abstract)
            except DamagedError as error:
                damaged[step] = error
            if _everywhere(state is not None):
                assert state is not None
                self._set_aside(damaged, step)
                return step, state
            elsewhere = DamagedError(f"checkpoint of step {step} is damaged for another process")
            log.warning(str(damaged.setdefault(step, elsewhere)).split(";")[0])
        if damaged:
            raise UserError(
                f"no checkpoint in {self._run_dir / FOLDER} can be read ({len(damaged)} tried); restore a "
                "copy, or start again with --overwrite"
            )
        return None

    def _set_aside(self, damaged: Mapping[int, DamagedError], instead: int) -> None:
        for step in damaged:
            log.warning(
                "going on from step %d instead; what is left of step %d is now in %s",
                instead,
                step,
                self._run_dir / DAMAGED_FOLDER,
            )
            if hosts.is_first():
                make_folder(self._run_dir / DAMAGED_FOLDER)
                goal = self._run_dir / DAMAGED_FOLDER / str(step)
                shutil.rmtree(goal, ignore_errors=True)
                (self._run_dir / FOLDER / str(step)).rename(goal)
        if damaged:
            hosts.wait_for_all("damaged checkpoints are aside")
            self._manager.reload()


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
    options = ocp.CheckpointManagerOptions(best_fn=_score, create=False, enable_async_checkpointing=False)
    with _manager(run_dir, options) as manager:
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
        about = _read_about(manager, run_dir, step)
        with _damage_reported(run_dir, step):
            device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            item = "average" if average and about.config.train.ema > 0 else "params"
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), manager.item_metadata(step)[item]
            )
            restored = manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(abstract)}))
    return Run(about.config, restored[item], step, about.mean_face, about.coefficient_names, about.versions)


def check_resumable(saved: About, current: About) -> None:
    """Raises `UserError` if a run can't go on from a checkpoint: names the configuration fields that differ."""
    free: tuple[str, ...] = FREE_FIELDS
    if current.config.optimizer.schedule == "cosine":  # train.steps shapes the learning rate
        free = tuple(name for name in free if name != "train.steps")
    differing = [line for line in differences(saved.config, current.config) if not line.startswith(free)]
    if differing:
        raise UserError(f"the checkpoint is of another configuration ({'; '.join(differing)}); keep its values")
    if saved.coefficient_names != current.coefficient_names or not np.array_equal(saved.mean_face, current.mean_face):
        raise UserError("the checkpoint is of another data set: mean_face or coefficient_names differ; give its own")


def differences(saved: Any, current: Any, prefix: str = "") -> list[str]:
    """Lines such as `model.momentum: 0.9 there, 0.999 here` for the fields in which two configurations differ."""
    lines: list[str] = []
    for field in dataclasses.fields(saved):
        name, there, here = f"{prefix}{field.name}", getattr(saved, field.name), getattr(current, field.name)
        if dataclasses.is_dataclass(there):
            lines += differences(there, here, f"{name}.")
        elif there != here:
            lines.append(f"{name}: {there!r} there, {here!r} here")
    return lines


def config_from_json(values: Mapping[str, Any]) -> Config:
    """The configuration that `dataclasses.asdict` made `values` of. Raises `UserError` for a field unknown here."""
    return _dataclass_from(Config, values)


def versions() -> dict[str, str]:
    """What runs: Python and the packages that decide the numbers."""
    return {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in PACKAGES}


def _dataclass_from(kind: type[Any], values: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            nearest = difflib.get_close_matches(name, hints, n=1, cutoff=0.0)[0]
            raise UserError(
                f"the configuration has the unknown field {prefix}{name} (the nearest here is {prefix}{nearest}); "
                "use the version of reactface_jax that wrote it"
            )
    return kind(
        **{
            name: _dataclass_from(hints[name], value, f"{prefix}{name}.")
            if dataclasses.is_dataclass(hints[name])
            else value
            for name, value in values.items()
        }
    )


def _progress(state: TrainState) -> dict[str, Any]:
    """All of a state but parameters and their average, which users of the model read alone."""
    apart = ("params", "average", "key")
    rest = {field.name: getattr(state, field.name) for field in dataclasses.fields(state) if field.name not in apart}
    return {**rest, "key": _key_data(state.key)}


def _key_data(key: Any) -> Any:
    """A key as the numbers that it is, since orbax gives a key back as these; a shape where `key` is one."""
    if isinstance(key, jax.ShapeDtypeStruct):
        data = jax.eval_shape(jax.random.key_data, key)
        return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=key.sharding)
    return jax.random.key_data(key)


def _score(metrics: Mapping[str, float] | None) -> float:
    return metrics["score"] if metrics else _NO_SCORE  # an older run has none


def _everywhere(fine: bool) -> bool:
    """Whether all processes say so: what one can't read, none goes on from."""
    return fine if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(fine)).all())


def _to_json(about: About) -> dict[str, Any]:
    return dataclasses.asdict(about) | {
        "mean_face": np.asarray(about.mean_face, np.float64).tolist(),
        "coefficient_names": list(about.coefficient_names),
    }


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


def _manager(run_dir: Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    _save_small_arrays_whole()
    handlers = {
        "params": ocp.StandardCheckpointHandler(),
        "average": ocp.StandardCheckpointHandler(),
        "progress": ocp.StandardCheckpointHandler(),
        "about": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager((run_dir / FOLDER).absolute(), options=options, item_handlers=handlers)


def _read_about(manager: ocp.CheckpointManager, run_dir: Path, step: int) -> About:
    with _damage_reported(run_dir, step):
        values = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        return About(
            config=config_from_json(values["config"]),
            mean_face=np.asarray(values["mean_face"], np.float32),
            coefficient_names=tuple(values["coefficient_names"]),
            data_step=values["data_step"],
            versions=values["versions"],
        )


@contextlib.contextmanager
def _damage_reported(run_dir: Path, step: int) -> Iterator[None]:
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
