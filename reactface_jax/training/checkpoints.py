"""Checkpoints: orbax writes them whole or not at all, and JSON beside the arrays says what they belong to."""

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy

from reactface_jax.config import differences
from reactface_jax.errors import UserError
from reactface_jax.files import make_folder
from reactface_jax.training import hosts
from reactface_jax.training.state import TrainState
from reactface_jax.weights.checksums import DamagedError, verify, write_checksums
from reactface_jax.weights.run import (
    FOLDER,
    NO_SCORE,
    About,
    best_step,
    checkpoint_folder,
    damage_reported,
    read_about,
    read_arrays,
    read_scores,
    save_small_arrays_whole,
    steps_of,
)
from reactface_jax.weights.workdir import DAMAGED_FOLDER

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
    "train.profile_steps",
    "train.pretrained_audio",
    "train.video_warmup",
    "eval.",
    "mesh.",  # exact on the same devices; elsewhere sums run in another order
    "hosts.",
)


class Checkpoints:
    """The checkpoints of a run that trains. A context manager: leaving it waits for the last one to be on disk.

    The newest `keep` stay, and the one with the highest score if scores are given. On several hosts all processes call
    the same methods; each writes what its devices hold.
    """

    def __init__(self, run_dir: Path, keep: int):
        self._run_dir = run_dir
        save_small_arrays_whole()
        logging.getLogger("absl").addFilter(_has_no_traceback)
        self._scores = read_scores(run_dir)
        self._set_scores_aside()
        kept = preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(n=keep), _Best(self._scores)])
        options = ocp.CheckpointManagerOptions(preservation_policy=kept, create=True, cleanup_tmp_directories=True)
        folder = (run_dir / FOLDER).absolute()
        self._manager = ocp.CheckpointManager(folder, options=options, handler_registry=_handlers())

    def _set_scores_aside(self) -> None:
        """Orbax reads all scores when it starts, and ends with one that is damaged.

        One may be missing: a run was killed while it deleted the checkpoint.
        """
        for step in set(steps_of(self._run_dir)) - self._scores.keys():
            score = checkpoint_folder(self._run_dir, step) / "metrics"
            if hosts.is_first() and score.exists():
                make_folder(self._run_dir / DAMAGED_FOLDER)
                goal = self._run_dir / DAMAGED_FOLDER / f"{step}-metrics"
                shutil.rmtree(goal, ignore_errors=True)
                score.rename(goal)
        hosts.wait_for_all("damaged scores are aside")

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
        step = best_step(self._scores)
        return None if step is None else (step, self._scores[step])

    def save(self, step: int, state: TrainState[jax.Array], about: About, score: float | None = None) -> None:
        """Writes in the background; the state's buffers may be donated as soon as this returns.

        Args:
          step: its number.
          state: all of it is written.
          about: what it belongs to.
          score: of a validation, the more the better: the checkpoint with the highest one is kept.
        """
        self._scores[step] = NO_SCORE if score is None else float(score)
        more = {"average": state.average, "method_state": state.method_state}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                progress=ocp.args.StandardSave(_progress(state)),
                about=ocp.args.JsonSave(_to_json(about)),
                metrics=ocp.args.JsonSave({"score": self._scores[step]}),
                **{name: ocp.args.StandardSave(tree) for name, tree in more.items() if tree is not None},
            ),
        )

    def about(self, step: int) -> About:
        """Raises `UserError` if the checkpoint is damaged."""
        return read_about(self._run_dir, step)

    def restore(self, step: int, abstract: TrainState[jax.ShapeDtypeStruct]) -> TrainState[jax.Array]:
        """Reads a checkpoint into the shapes, types and shardings of `abstract`, on whichever devices these are.

        Raises:
          UserError: the checkpoint is damaged.
        """
        self._manager.wait_until_finished()
        self._verify(step, self.about(step), abstract)
        return self._read(step, abstract)

    def _verify(self, step: int, about: About, abstract: TrainState[jax.ShapeDtypeStruct]) -> None:
        folder = checkpoint_folder(self._run_dir, step)
        some = [name for name in ("average", "method_state") if getattr(abstract, name) is not None]
        with damage_reported(folder):
            for item in ("params", "progress", *some):
                verify(folder / item, required=about.has_checksums)

    def _read(self, step: int, abstract: TrainState[jax.ShapeDtypeStruct]) -> TrainState[jax.Array]:
        folder = checkpoint_folder(self._run_dir, step)
        with damage_reported(folder):
            params = read_arrays(folder / "params", abstract.params)
            progress = read_arrays(folder / "progress", _progress(abstract))
            average, method_state = (
                None if shapes is None else read_arrays(folder / name, shapes)
                for name, shapes in (("average", abstract.average), ("method_state", abstract.method_state))
            )
            progress["key"] = jax.random.wrap_key_data(progress["key"])
            return TrainState(params=params, average=average, method_state=method_state, **progress)

    def restore_newest(self, abstract: TrainState, check: Callable[[About], None]) -> tuple[int, TrainState] | None:
        """Step and state of the newest checkpoint that can be read; None if there is no checkpoint.

        Damaged ones that are newer are named in the log and moved to `DAMAGED_FOLDER`: their steps will come again.

        Args:
          abstract: as in `restore`.
          check: raises `UserError` if the run can't go on from such a checkpoint.

        Raises:
          UserError: what `check` raises, or no checkpoint can be read; then all stay where they are.
        """
        damaged: dict[int, DamagedError] = {}
        for step in reversed(steps_of(self._run_dir)):
            state = None
            try:
                about = self.about(step)
                check(about)
                if hosts.is_first():  # reading all files once is enough
                    self._verify(step, about, abstract)
            except DamagedError as error:
                damaged[step] = error
            if _everywhere(step not in damaged):
                try:
                    state = self._read(step, abstract)
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
            self._scores.pop(step, None)
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
                checkpoint_folder(self._run_dir, step).rename(goal)
        if damaged:
            hosts.wait_for_all("damaged checkpoints are aside")
            self._manager.reload()


def _has_no_traceback(record: logging.LogRecord) -> bool:
    """Orbax logs the traceback of an error that it raises as well, such as that of a full disk."""
    return record.exc_info is None


class _CheckedArrays(ocp.StandardCheckpointHandler):
    """Arrays whose files get checksums once all processes have written theirs."""

    def finalize(self, directory: os.PathLike[str]) -> None:
        super().finalize(directory)
        write_checksums(directory)


class _CheckedJson(ocp.JsonCheckpointHandler):
    def finalize(self, directory: os.PathLike[str]) -> None:
        super().finalize(directory)
        write_checksums(directory)


def _handlers() -> ocp.handlers.DefaultCheckpointHandlerRegistry:
    registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
    for item in ("params", "average", "method_state", "progress"):
        registry.add(item, ocp.args.StandardSave, _CheckedArrays())
    registry.add("about", ocp.args.JsonSave, _CheckedJson())
    registry.add("metrics", ocp.args.JsonSave, _CheckedJson(filename="metrics"))
    return registry


class _Best(preservation_policy.PreservationPolicy):
    """Keeps the checkpoint with the highest score."""

    def __init__(self, scores: Mapping[int, float]):
        self._scores = scores

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: preservation_policy.PreservationContext
    ) -> Sequence[bool]:
        best = best_step({each.step: self._scores.get(each.step, NO_SCORE) for each in checkpoints})
        return [each.step == best for each in checkpoints]


@contextlib.contextmanager
def saved_if_it_fails(checkpoints: Checkpoints, step: int, state: TrainState, about: About) -> Iterator[None]:
    """Saves the state if what is inside fails, unless a checkpoint of this step is there.

    Several processes save together or not at all: one that fails by itself would wait for the others for ever.
    """
    try:
        yield
    except BaseException:
        if jax.process_count() == 1 and checkpoints.latest_step != step:
            checkpoints.save(step, state, dataclasses.replace(about, data_step=step))
            log.warning("saved at step %d, before what failed; the same command with --resume goes on from here", step)
        raise


def check_resumable(saved: About, current: About) -> None:
    """Raises `UserError` if a run can't go on from a checkpoint: names the configuration fields that differ."""
    free: tuple[str, ...] = FREE_FIELDS
    if current.config.steps_shape_rate:
        free = tuple(name for name in free if name != "train.steps")
    differing = [line for line in differences(saved.config, current.config) if not line.startswith(free)]
    if any(line.startswith("train.steps:") for line in differing):
        differing.append("train.steps shapes the cosine of the learning rate")
    if differing:
        raise UserError(f"the checkpoint is of another configuration ({'; '.join(differing)}); keep its values")
    if saved.coefficient_names != current.coefficient_names or not np.array_equal(saved.mean_face, current.mean_face):
        raise UserError("the checkpoint is of another data set: mean_face or coefficient_names differ; give its own")


def _progress(state: TrainState) -> dict[str, Any]:
    """All of a state but what users of the model read without the rest."""
    apart = ("params", "average", "method_state", "key")
    rest = {field.name: getattr(state, field.name) for field in dataclasses.fields(state) if field.name not in apart}
    return {**rest, "key": _key_data(state.key)}


def _key_data(key: jax.Array | jax.ShapeDtypeStruct) -> jax.Array | jax.ShapeDtypeStruct:
    """A key as the numbers that it is, since orbax gives a key back as these; a shape where `key` is one."""
    if isinstance(key, jax.ShapeDtypeStruct):
        data = jax.eval_shape(jax.random.key_data, key)
        return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=key.sharding)
    return jax.random.key_data(key)


def _everywhere(fine: bool) -> bool:
    """Whether all processes say so: what one can't read, none goes on from."""
    return fine if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(fine)).all())


def _to_json(about: About) -> dict[str, Any]:
    return dataclasses.asdict(about) | {
        "mean_face": np.asarray(about.mean_face, np.float64).tolist(),
        "coefficient_names": list(about.coefficient_names),
    }
