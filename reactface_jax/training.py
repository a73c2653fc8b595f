"""The training loop, top to bottom: mesh, model, optimiser, shardings, restore, loop."""

import dataclasses
import itertools
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tensorboardX
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from reactface_jax import hosts, losses, termination
from reactface_jax.checkpoint import DAMAGED_FOLDER, FOLDER, About, Checkpoints, check_resumable
from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.models.build import build_model
from reactface_jax.optimizer import frozen_patterns, make_optimizer
from reactface_jax.params_file import load_params
from reactface_jax.progress import Metrics, Progress, what_runs
from reactface_jax.sharding import abstract, check_mesh, gathered, make_mesh, on_mesh, place_batch, shardings
from reactface_jax.train_state import TrainState, stream
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray, Batch, Reactions

log = logging.getLogger(__name__)

TENSORBOARD = "tensorboard"  # folder inside a run's directory
VALIDATION_BATCHES = 8
QUEUED_STEPS = 2  # dispatched and not finished: the device never waits, and few batches wait in its memory

_ONE_USE = {"cpu": {"xla_backend_optimization_level": 0}}
"""By backend, for a program that runs once: optimising 300 random draws takes longer than drawing them."""


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


def train(
    config: Config, workdir: str | Path, data: TrainingData, *, resume: bool = False, overwrite: bool = False
) -> TrainState:
    """Trains a model and leaves checkpoints and TensorBoard files in `workdir`.

    Args:
      config: the experiment.
      workdir: the run's directory. If it holds a run, `resume` or `overwrite` must say what to do with it.
      data: the batches.
      resume: go on from the newest checkpoint, bit for bit as if never stopped (on CPU).
      overwrite: remove the old run's checkpoints and curves first.

    Returns:
      The state after `config.train.steps` updates, or after fewer if SIGTERM came: it is saved then. On several hosts
      each process holds its part.

    Raises:
      UserError: a contradiction between the run, the configuration, the data and the devices, or a loss that is
        not finite.
    """
    workdir = Path(workdir)
    check_workdir(workdir, resume=resume, overwrite=overwrite)

    # ---- Mesh
    mesh = make_mesh(config=config.mesh)
    check_mesh(config, mesh)

    # ---- Model and optimiser
    model = build_model(dataclasses.replace(config.model, window=config.train.window))
    optimizer = make_optimizer(config.optimizer, config.train.steps, frozen_patterns(config.model))

    # ---- Shardings: shapes first, then parameters are made where they live
    def init() -> TrainState:
        root = jax.random.key(config.train.seed)
        return TrainState.create(init_params(model, config, stream(root, "params", 0)), optimizer, root)

    shapes = jax.eval_shape(init)
    placement = shardings(shapes, mesh)
    train_step = on_mesh(make_train_step(model, optimizer, config), mesh)
    step_fn = jax.jit(train_step, donate_argnums=0, out_shardings=(placement, None))
    validation_fn = jax.jit(on_mesh(make_validation_step(config), mesh))

    hosts.wait_for_all("the run's directory is checked")
    if overwrite and hosts.is_first():
        remove_run(workdir)
    hosts.wait_for_all("the old run is removed")
    about = About(config, data.mean_face, data.coefficient_names)
    with (
        Checkpoints(workdir, config.train.keep_checkpoints) as checkpoints,
        tensorboardX.SummaryWriter(str(workdir / TENSORBOARD), write_to_disk=hosts.is_first()) as writer,
        termination.listening() as terminated,
        hosts.ending_together(),  # innermost: closing checkpoints would wait for a process that is gone
    ):
        # ---- Restore, or start
        saved = checkpoints.restore_newest(abstract(shapes, placement), lambda old: check_resumable(old, about))
        if saved:
            start, state = saved
        else:
            start = 0
            state = jax.jit(init, out_shardings=placement, compiler_options=_ONE_USE.get(jax.default_backend()))()
            if config.train.pretrained_audio:
                params = with_pretrained_audio(state.params, config.train.pretrained_audio)
                state = dataclasses.replace(state, params=jax.device_put(params, placement.params))
        for line in what_runs(config, mesh, about.versions, data.description, state.params, start):
            log.info(line)

        # ---- Loop
        progress = Progress(config, writer)
        queue: list[Metrics] = []
        batches = data.train_batches(start)
        for step in range(start + 1, config.train.steps + 1):
            state, metrics = step_fn(state, place_batch(next(batches), mesh))
            queue = [*queue, metrics][-QUEUED_STEPS:]
            jax.block_until_ready(queue[0])
            progress.add(step, metrics)

            ending = terminated.reached(step)
            last = step == config.train.steps or ending
            saving = last or step % config.train.checkpoint_every == 0
            validating = not ending and (last or step % config.train.eval_every == 0)
            if saving or validating or step % config.train.log_every == 0:
                progress.report()  # also refuses to save a state whose loss is not finite
            if validating:
                with progress.paused():
                    progress.report_validation(step, *_validate(validation_fn, state, data, mesh))
            if saving:
                checkpoints.save(step, state, dataclasses.replace(about, data_step=step))
            if ending:
                log.info(f"SIGTERM: saved at step {step}; the same command with --resume goes on from here")
                break
    return state


def check_workdir(workdir: str | Path, *, resume: bool, overwrite: bool) -> None:
    """Raises `UserError` unless the run's directory and what is to become of it fit together."""
    workdir = Path(workdir)
    holds_run = (workdir / FOLDER).exists()
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other; give one")
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir {workdir} is a file; give a directory")
    if resume and not workdir.is_dir():
        raise UserError(f"--workdir {workdir} does not exist, so there is nothing to resume; leave --resume out")
    if holds_run and not (resume or overwrite):
        raise UserError(f"--workdir {workdir} holds a run already; give --resume, --overwrite or another directory")


def remove_run(workdir: Path) -> None:
    """Removes what `train` writes, and nothing else that may lie there."""
    for name in (FOLDER, DAMAGED_FOLDER, TENSORBOARD):
        shutil.rmtree(workdir / name, ignore_errors=True)


def init_params(model: nn.Module, config: Config, key: PRNGKeyArray) -> Any:
    """Fresh parameters, from the shapes of a clip of one window: nothing of the forward pass is computed."""
    params_key, sample_key = jax.random.split(key)
    size, frames = config.data.image_size, config.train.window
    video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
    return model.lazy_init({"params": params_key, "sample": sample_key}, video, audio)["params"]


def with_pretrained_audio(params: Any, folder: str) -> Any:
    """Replaces the audio encoder's parameters. Raises `UserError` if the folder's do not fit."""
    ours, (theirs, _) = params["speaker_encoder"]["audio_encoder"], load_params(folder)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise UserError(f"--train.pretrained-audio {folder} does not fit the sizes of model.audio; convert it again")
    speaker_encoder = {**params["speaker_encoder"], "audio_encoder": theirs}
    return {**params, "speaker_encoder": speaker_encoder}


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, config: Config
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """One update: K reactions from one encoding, the five losses, AdamW."""

    def loss_fn(params: Any, batch: Batch, rngs: dict[str, PRNGKeyArray]) -> tuple[Array, Metrics]:
        reactions = model.apply(
            {"params": gathered(params)},
            to_unit_range(batch.video),
            batch.audio,
            num_reactions=config.train.num_reactions,
            deterministic=False,
            rngs=rngs,
        )
        return losses.total(
            cast(Reactions, reactions), batch.speaker, batch.neighbours, batch.neighbour_mask, weights=config.loss
        )

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        rngs = {name: stream(state.key, name, state.step) for name in ("dropout", "sample")}
        (loss, parts), gradients = jax.value_and_grad(loss_fn, has_aux=True)(state.params, batch, rngs)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, **parts, "gradient_norm": optax.tree.norm(gradients)}
        return dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state), metrics

    return train_step


def make_validation_step(config: Config) -> Callable[[TrainState, Batch], tuple[Metrics, Array]]:
    """Losses against the one real listener with the window of evaluation, and the number of clips that counted."""
    model = build_model(config.model)

    def validation_step(state: TrainState, batch: Batch) -> tuple[Metrics, Array]:
        # Step 0's key at every step, so that two validations differ by the parameters alone.
        rngs = {"sample": stream(state.key, "validation", 0)}
        reactions = model.apply({"params": gathered(state.params)}, to_unit_range(batch.video), batch.audio, rngs=rngs)
        valid = batch.clip >= 0
        loss, parts = losses.validation(cast(Reactions, reactions), batch.listener, valid, weights=config.loss)
        return {"loss": loss, **parts}, valid.sum()

    return validation_step


def to_unit_range(video: UInt8[AnyArray, "..."]) -> Float[Array, "..."]:
    """0..255 to [-1, 1], on the device: bytes travel there, not floats."""
    return jnp.asarray(video, jnp.float32) / 127.5 - 1


def _validate(
    validation_fn: Callable[[TrainState, Batch], tuple[Metrics, Array]],
    state: TrainState,
    data: TrainingData,
    mesh: jax.sharding.Mesh,
) -> tuple[dict[str, float], int]:
    """Means over a few batches of validation clips, and how many clips they were."""
    batches = itertools.islice(data.validation_batches(), VALIDATION_BATCHES)
    results = jax.device_get([validation_fn(state, place_batch(batch, mesh)) for batch in batches])
    results = [(parts, int(count)) for parts, count in results if count]
    num_clips = sum(count for _, count in results)
    names = results[0][0] if results else ()
    return {name: float(sum(parts[name] * count for parts, count in results) / num_clips) for name in names}, num_clips
