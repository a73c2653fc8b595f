"""The training loop, top to bottom: mesh, method, optimiser, shardings, restore, loop."""

import contextlib
import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from reactface_jax.config import Config
from reactface_jax.folder_lock import locked
from reactface_jax.training import hosts, preemption
from reactface_jax.training.checkpoints import Checkpoints, check_resumable, saved_if_it_fails
from reactface_jax.training.curves import Curves
from reactface_jax.training.divergence import Launched, diverged, first_not_finite
from reactface_jax.training.dry_run import what_would_run
from reactface_jax.training.init import pretrained_audio, with_audio_encoder
from reactface_jax.training.neighbour_table import NeighbourTable
from reactface_jax.training.profiled_steps import ProfiledSteps
from reactface_jax.training.program import Program, make_program
from reactface_jax.training.sharding import make_mesh, place_batch
from reactface_jax.training.state import TrainState
from reactface_jax.training.training_log import Progress, what_runs
from reactface_jax.training.validation import SCORE, Validated, lower_validation, make_validation_step, score, validate
from reactface_jax.training.validation_figure import draw_reactions
from reactface_jax.types import Batch, Clips
from reactface_jax.weights.run import About
from reactface_jax.weights.workdir import TENSORBOARD, check_workdir, old_run_aside, put_back

log = logging.getLogger(__name__)

QUEUED_STEPS = 1  # dispatched behind the one that runs: the device never waits, and few batches wait in its memory
DRAWN_CLIPS = 3  # of a validation


@dataclass(frozen=True)
class TrainingData:
    """What a run reads. The loop knows no files: train.py fills this from the loader, tests from arrays."""

    description: str
    """For the log: which data, how many clips."""
    mean_face: Float[np.ndarray, " C"]
    coefficient_names: tuple[str, ...]
    train_batches: Callable[[int], Iterator[Batch]]
    """From a step number: endless batches from there on, the same whenever asked.

    Where several processes train together, each gets the rows that `sharding.host_rows` says, here and below."""
    validation_batches: Callable[[], Iterator[Batch]]
    """Clips of the validation split in order; clip = -1 marks padding."""
    listeners: Float[np.ndarray, "N T C"] | None = None
    """Of the training split, relative to mean_face, for batches that say where their neighbours are; None: they bring
    them along."""
    validation_clips: Callable[[], Clips] | None = None
    """The same split's people, with whom answers are compared; None: losses are all that is measured."""
    clip_ids: Sequence[str] = ()
    """Names of the training split's clips by row, for messages."""


def train(
    config: Config,
    workdir: str | Path,
    data: TrainingData,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> TrainState:
    """Trains a model and leaves checkpoints and TensorBoard files in `workdir`.

    Args:
      config: the experiment.
      workdir: the run's directory. If it holds a run, `resume` or `overwrite` must say what to do with it.
      data: the batches.
      resume: go on from the newest checkpoint, bit for bit as if never stopped (on CPU).
      overwrite: replace the run that is there. It is moved aside, and removed once the new one has made a step.
      dry_run: compile the step, report shapes and memory, write nothing.

    Returns:
      The state after `config.train.steps` updates, or after fewer if SIGTERM came to one process or FRCorr rose no
      more: it is saved then. On several hosts each process holds its part. Its shapes, if this is a dry run.

    Raises:
      UserError: a contradiction between the run, the configuration, the data and the devices, or a loss that is
        not finite.
      Stopped: SIGTERM ended several processes before the last step; they have saved.
    """
    workdir = Path(workdir)
    if not dry_run:
        check_workdir(workdir, resume=resume, overwrite=overwrite)

    # ---- Mesh, method, optimiser, shardings
    mesh = make_mesh(config=config.mesh)
    program = make_program(config, mesh)
    objective = program.objective

    if not program.in_last_stage(config.train.steps):
        log.warning(
            f"--train.steps {config.train.steps} ends before the last stage begins, at step {objective.stages[-1]}: "
            "what that one trains stays as it was drawn; give more steps, or go on with --resume"
        )

    about = About(config, data.mean_face, data.coefficient_names)
    if dry_run:
        for line in what_runs(
            config, mesh, about.versions, data.description, program.state.params, 0, objective.frozen
        ):
            log.info(line)
        table_bytes = 0 if data.listeners is None else np.dtype(np.float32).itemsize * data.listeners.size
        for line in what_would_run(program.step, program.state, program.batch, table_bytes):
            log.info(line)
        return program.state

    # ---- Whatever can be wrong is found here, before an old run is moved and a step computed
    pretrained = pretrained_audio(program.state.params, config.train.pretrained_audio)
    batches = data.train_batches(0)
    validation_clips = validation = None
    if config.train.eval_every:
        validation_clips = None if data.validation_clips is None else data.validation_clips()
        validation_step = make_validation_step(objective, mesh)
        validation = lower_validation(validation_step, program.state.best_variables, data.validation_batches(), mesh)

    with contextlib.ExitStack() as stack:
        forget_old_run: Callable[[], None] = lambda: None  # noqa: E731
        if hosts.is_first():
            stack.enter_context(locked(workdir))
            put_back(workdir)
            check_workdir(workdir, resume=resume, overwrite=overwrite)
            if overwrite:
                forget_old_run = stack.enter_context(old_run_aside(workdir))
        hosts.wait_for_all("the run's directory is ready")
        terminated = stack.enter_context(preemption.listening())  # outside, until the last checkpoint is on disk
        checkpoints = stack.enter_context(Checkpoints(workdir, config.train.keep_checkpoints))
        curves = stack.enter_context(Curves(workdir / TENSORBOARD if hosts.is_first() else None))
        profiled = stack.enter_context(ProfiledSteps(config.train.profile_steps, workdir / TENSORBOARD))
        beside = stack.enter_context(ThreadPoolExecutor())  # XLA compiles without holding the interpreter
        # Innermost: closing checkpoints would wait for a process that is gone.
        stack.enter_context(hosts.ending_together())

        # ---- Restore, or start
        def check(old: About) -> None:
            check_resumable(old, about)

        start, restored = checkpoints.restore_newest(program.state, check) or (0, None)
        shapes = program.state.params
        for line in what_runs(config, mesh, about.versions, data.description, shapes, start, objective.frozen):
            log.info(line)
        if restored is not None and start >= config.train.steps:
            return restored
        table = None if data.listeners is None else NeighbourTable(data.listeners, mesh)

        def placed(batch: Batch) -> Batch:
            on_devices = place_batch(batch, mesh)
            return on_devices if table is None else table.filled(on_devices)

        answering = None if validation is None else beside.submit(validation.compile)
        batches = data.train_batches(start) if start else batches
        step_fn, state, batches = _compiled(program, restored, batches, placed, beside)
        del restored  # the loop's state takes its memory
        if start == 0 and pretrained is not None:
            params = with_audio_encoder(state.params, pretrained)
            state = state.with_params(jax.device_put(params, program.placement.params))

        # ---- Loop
        progress = Progress(config, curves, objective.learning_rate)
        launched: list[Launched] = []
        best_step, best_score = checkpoints.best or (start, -math.inf)
        for step in range(start + 1, config.train.steps + 1):
            if program.begins_stage(step - 1):
                with progress.paused():
                    state = program.begin_stage(state, step - 1, lambda: data.train_batches(step - 1))  # noqa: B023
            batch = next(batches)
            profiled.before(step)
            state, metrics = step_fn(state, placed(batch))
            progress.add(step, metrics)
            profiled.after(step, metrics)
            launched.append(Launched(step, batch, metrics))

            ending = terminated.reached(step)
            last = step == config.train.steps or ending
            saving = last or step % config.train.checkpoint_every == 0
            validating = not ending and answering is not None and (last or step % config.train.eval_every == 0)
            reporting = saving or validating or step % config.train.log_every == 0
            if bad := first_not_finite(launched, 0 if reporting else QUEUED_STEPS):
                bad = bad if table is None else bad._replace(batch=table.filled_on_host(bad.batch))
                raise diverged(bad, state, config, data.clip_ids, workdir)
            if step <= start + 1 + QUEUED_STEPS and step - len(launched) > start:  # the first one's loss is known
                forget_old_run()
            if reporting:
                progress.report()
            scored = None
            if validating and answering is not None:
                with progress.paused(), saved_if_it_fails(checkpoints, step, state, about):
                    batches_to_answer = data.validation_batches()
                    variables, most = state.best_variables, config.train.eval_clips
                    found = validate(answering.result(), variables, batches_to_answer, most, mesh)
                    scored = _report_validation(progress, step, found, data, validation_clips, config.model.window)
                    if not program.in_last_stage(step):
                        scored = None  # what has not been trained yet draws by chance
            if scored is not None and scored > best_score:
                best_step, best_score = step, scored
                saving = True
            elif scored is not None and config.train.patience and not last:
                if (step - best_step) // config.train.eval_every >= config.train.patience:
                    log.info(f"{SCORE} has not risen since step {best_step}: stopped, as train.patience says")
                    saving = last = True
            if saving:
                checkpoints.save(step, state, dataclasses.replace(about, data_step=step), scored)
            if ending:
                log.info(f"SIGTERM: saved at step {step}; the same command with --resume goes on from here")
            if last:
                break
    if ending and step < config.train.steps and jax.process_count() > 1:
        raise hosts.Stopped
    return state


def _compiled(
    program: Program,
    restored: TrainState | None,
    batches: Iterator[Batch],
    placed: Callable[[Batch], Batch],
    beside: Executor,
) -> tuple[Any, TrainState, Iterator[Batch]]:
    """Compiles the step, and makes the state that it begins with in a thread meanwhile.

    Args:
      program: of the training.
      restored: the state, where a run goes on.
      batches: of the training; the first gives the shapes.
      placed: puts a batch on the devices.
      beside: the threads.

    Returns:
      The step, the state, and all batches.
    """
    first = next(batches)
    like = placed(first)  # before the state is made: all hosts launch their programs in one order
    starting = None if restored is not None else beside.submit(program.start)
    step = program.step.lower(program.state, like).compile()
    state = restored if starting is None else starting.result()
    assert state is not None
    return step, state, itertools.chain([first], batches)


def _report_validation(
    progress: Progress, step: int, found: Validated | None, data: TrainingData, clips: Clips | None, window: int
) -> float | None:
    """Reports losses, measures and a picture of a validation. Returns its score; None if there is none.

    Args:
      progress: reports.
      step: at which.
      found: the answers.
      data: of the training.
      clips: the validation split's people; None where they are not known.
      window: of the model (frames).
    """
    if found is None:
        return None
    if clips is None:
        progress.report_validation(step, found.losses, {}, len(found.rows))
        return None
    scores = score(found, clips, data.mean_face, window)
    progress.report_validation(step, found.losses, scores, len(found.rows))
    drawn, frames = found.rows[:DRAWN_CLIPS], found.prediction.shape[2]
    picture = draw_reactions(
        found.prediction[:DRAWN_CLIPS] + data.mean_face,
        clips.speaker[drawn, :frames],
        clips.listener[drawn, :frames],
        data.coefficient_names,
        [clips.clip_ids[row] for row in drawn],
    )
    progress.show(step, "validation/reactions", picture)
    return scores[SCORE] if math.isfinite(scores[SCORE]) else None
