"""Trains the portrait renderer on the speakers of any shards: one frame as the portrait, others to be drawn from it.

First only the warping, then all of it (Ren et al., ICCV 2021). The run's directory is what
`react --renderer-weights` takes (run.py).
"""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8
from PIL import Image

from reactface_jax.errors import UserError
from reactface_jax.files import replacing
from reactface_jax.folder_lock import locked
from reactface_jax.ops.pixels import to_bytes, to_unit_range
from reactface_jax.rendering.portrait.config import RendererConfig, RendererTraining
from reactface_jax.rendering.portrait.losses import perceptual, psnr, ssim, style
from reactface_jax.rendering.portrait.model import WINDOW, PIRender
from reactface_jax.rendering.portrait.portrait import coefficient_windows
from reactface_jax.rendering.portrait.run import check_layout, restore_newest, save_checkpoint
from reactface_jax.step_clock import StepClock
from reactface_jax.types import NUM_COEFFICIENTS, AnyArray, Batch
from reactface_jax.weights.workdir import check_workdir, old_run_aside, put_back

log = logging.getLogger(__name__)

_EVAL_FRAMES = 4  # targets of each validation clip
_LEAST_STD = 0.02  # what moves less is noise


@dataclasses.dataclass(frozen=True)
class RendererBatches:
    """The data of a training of the renderer."""

    mean_face: Float[np.ndarray, " C"]
    std_face: Float[np.ndarray, " C"]
    train: Callable[[int], Iterator[Batch]]
    """From a start step on."""
    validation: Callable[[], Iterable[Batch]]


# ---- One step --------------------------------------------------------------------------------------------------------


def draw_samples(
    key: Key[Array, ""],
    video: UInt8[AnyArray, "B T H W 3"],
    coefficients: Float[AnyArray, "B T C"],
    frames: int,
) -> tuple[Float[Array, "N H W 3"], Float[Array, "N 27 C"], Float[Array, "N H W 3"]]:
    """From each clip one random frame as the portrait and `frames` others with their windows; N = B frames."""
    half, (batch, length) = WINDOW // 2, video.shape[:2]
    key_portrait, key_target = jax.random.split(key)
    portrait = jax.random.randint(key_portrait, (batch, 1), 0, length)
    target = jax.random.randint(key_target, (batch, frames), half, length - half)

    def take(clip: Array, index: Array) -> Array:
        return clip[index]

    video, coefficients = jnp.asarray(video), jnp.asarray(coefficients)
    around = target[..., None] + jnp.arange(-half, half + 1)[None, None]
    windows = jax.vmap(take)(coefficients, around).reshape(batch * frames, WINDOW, -1)
    portraits = jnp.repeat(jax.vmap(take)(video, portrait)[:, 0], frames, axis=0)
    targets = jax.vmap(take)(video, target).reshape(-1, *video.shape[2:])
    return to_unit_range(portraits), windows, to_unit_range(targets)


def loss(
    model: PIRender,
    options: RendererTraining,
    warp_only: bool,
    params: PyTree,
    samples: tuple[Float[Array, "N H W 3"], Float[Array, "N 27 C"], Float[Array, "N H W 3"]],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The total loss, and its parts before their weights.

    Args:
      model: the renderer.
      options: the parts' weights.
      warp_only: only the warp's part.
      params: the renderer's parameters.
      samples: portraits, windows of coefficients, and targets in [-1, 1].
    """
    portraits, windows, targets = samples
    out: Any = model.apply({"params": params}, portraits, windows, warp_only=warp_only)
    parts = {"warp": jnp.abs(out.warp - targets).mean() + perceptual(out.warp, targets)}
    total = options.warp * parts["warp"]
    if not warp_only:
        parts["pixels"] = jnp.abs(out.image - targets).mean()
        parts["perceptual"] = perceptual(out.image, targets)
        parts["style"] = style(out.image, targets)
        total += options.pixels * parts["pixels"] + options.perceptual * parts["perceptual"]
        total += options.style * parts["style"]
    return total, parts | {"loss": total}


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=(3,))
def train_step(
    model: PIRender,
    options: RendererTraining,
    warp_only: bool,
    state: dict[str, Any],
    video: UInt8[AnyArray, "B T H W 3"],
    coefficients: Float[AnyArray, "B T C"],
    step: Int[AnyArray, ""],
) -> tuple[dict[str, Any], dict[str, Float[Array, ""]]]:
    """One update. Random frames depend only on the seed and the step.

    Args:
      model: the renderer.
      options: the optimiser, the losses' weights and the seed.
      warp_only: train only the warping.
      state: parameters and optimiser state, which are donated.
      video: clips, from which frames are drawn.
      coefficients: of the same frames, raw.
      step: number of the step.

    Returns:
      The state after the step, and the losses.
    """
    key = jax.random.fold_in(jax.random.key(options.seed), step)
    samples = draw_samples(key, video, coefficients, options.frames)
    gradient, parts = jax.grad(functools.partial(loss, model, options, warp_only), has_aux=True)(
        state["params"], samples
    )
    updates, optimizer = optax.adam(options.learning_rate).update(gradient, state["optimizer"])
    return {"params": optax.apply_updates(state["params"], updates), "optimizer": optimizer}, parts


# ---- Validation ------------------------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=0)
def _judge(
    model: PIRender,
    params: PyTree,
    portraits: UInt8[AnyArray, "P H W 3"],
    windows: Float[AnyArray, "N 27 C"],
    targets: UInt8[AnyArray, "N H W 3"],
) -> tuple[dict[str, Float[Array, ""]], Float[Array, "4 N H W 3"]]:
    portrait, target = to_unit_range(portraits), to_unit_range(targets)
    out: Any = model.apply({"params": params}, portrait, windows)
    image, warp = (jnp.clip(picture, -1, 1) for picture in (out.image, out.warp))
    scores = {
        "psnr": psnr(image, target).mean(),
        "ssim": ssim(image, target).mean(),
        "psnr_of_portrait": psnr(portrait, target).mean(),
        "ssim_of_portrait": ssim(portrait, target).mean(),
    }
    return scores, jnp.stack([portrait, target, warp, image])


def validate(
    model: PIRender, params: PyTree, batches: Iterable[Batch], mean_face: Float[np.ndarray, " C"], num_clips: int
) -> tuple[dict[str, float], UInt8[np.ndarray, "h w 3"]]:
    """Scores over clips whose first frame is the portrait, and a picture.

    Args:
      model: the renderer.
      params: its parameters.
      batches: of the validation split.
      mean_face: added to the batches' coefficients.
      num_clips: how many are scored.

    Returns:
      Means of PSNR and SSIM, of the result and of the portrait itself, and a picture whose columns are portrait,
      target, warp and result.
    """
    scores: list[dict[str, Any]] = []
    shown: list[np.ndarray] = []
    seen = 0
    for batch in batches:
        for clip in range(len(batch.clip)):
            if seen == num_clips or batch.clip[clip] < 0:
                continue
            seen += 1
            video, windows = batch.video[clip], coefficient_windows(batch.speaker[clip] + mean_face)
            index = np.linspace(len(video) // (2 * _EVAL_FRAMES), len(video) - 1, _EVAL_FRAMES).astype(int)
            portraits = np.repeat(np.asarray(video[:1]), _EVAL_FRAMES, axis=0)
            values, pictures = _judge(model, params, portraits, windows[index], np.asarray(video)[index])
            scores.append(jax.device_get(values))
            shown.append(np.concatenate(np.asarray(to_bytes(pictures[:, -1])), axis=1))
        if seen == num_clips:
            break
    means = {name: float(np.mean([values[name] for values in scores])) for name in scores[0]}
    return means, np.concatenate(shown[:4])


# ---- The loop --------------------------------------------------------------------------------------------------------


def train_renderer(
    config: RendererConfig, workdir: str | Path, data: RendererBatches, *, resume: bool = False, overwrite: bool = False
) -> dict[str, float]:
    """Trains, or goes on training.

    Args:
      config: of the data and the training.
      workdir: the run's directory.
      data: batches, and the statistics of their coefficients.
      resume: go on from the newest checkpoint.
      overwrite: replace a run that is there.

    Returns:
      The last validation's scores.

    Raises:
      UserError: the directory holds a run and neither `resume` nor `overwrite` is given; the run to resume has another
        configuration; the loss is not finite.
    """
    workdir, options = Path(workdir), config.train
    check_layout(workdir)
    check_workdir(workdir, resume=resume, overwrite=overwrite)
    model = PIRender(narrower=options.narrower, dtype=jnp.dtype(options.dtype))
    batches = data.train(0)  # what is wrong with the data is found before an old run is moved
    next(iter(data.validation()), None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(workdir))
        put_back(workdir)
        check_workdir(workdir, resume=resume, overwrite=overwrite)
        forget_old_run = stack.enter_context(old_run_aside(workdir)) if overwrite else lambda: None
        state = _start(config, model, data)
        saved = restore_newest(workdir, state, functools.partial(_check_resumable, config, workdir, data.mean_face))
        start = 0
        if saved is not None:
            start, state = saved
            batches = data.train(start)
        return _loop(config, workdir, model, data, batches, state, start, forget_old_run)


def _loop(
    config: RendererConfig,
    workdir: Path,
    model: PIRender,
    data: RendererBatches,
    batches: Iterator[Batch],
    state: dict[str, Any],
    start: int,
    after_first_step: Callable[[], None],
) -> dict[str, float]:
    options = config.train
    log.info("parameters: %s", f"{sum(leaf.size for leaf in jax.tree.leaves(state['params'])):,}")
    log.info(
        "steps: %d to %d, the first %d only warp; the first one compiles", start, options.steps, options.warp_steps
    )
    scores: dict[str, float] = {}
    clock = StepClock()
    for step in range(start, options.steps):
        batch = next(batches)
        coefficients = np.asarray(batch.speaker) + data.mean_face
        warp_only = step < options.warp_steps
        state, parts = train_step(model, options, warp_only, state, batch.video, coefficients, np.int32(step))
        done = step + 1
        clock.count(parts)
        first, last = step == start, done == options.steps
        reporting = last or done % options.log_every == 0
        validating = last or done % options.eval_every == 0
        if first or reporting or validating:
            values = {name: float(value) for name, value in jax.device_get(parts).items()}
            if not np.isfinite(values["loss"]):
                raise _diverged(done)
        if first:
            after_first_step()
        if reporting:
            listed = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            if (speed := clock.steps_per_second()) is not None:
                listed += f"  {speed:.3g} steps/s"
            log.info("step %d/%d  %s", done, options.steps, listed)
        if validating:
            with clock.paused():
                scores = _validated(config, workdir, model, data, state, done)
    return scores


def _diverged(step: int) -> UserError:
    return UserError(f"training diverged at step {step}; start again with a lower --train.learning-rate")


def _validated(
    config: RendererConfig, workdir: Path, model: PIRender, data: RendererBatches, state: dict[str, Any], done: int
) -> dict[str, float]:
    """Validates, then saves the run and a picture; the run is saved when validation fails, too."""
    try:
        scores, picture = validate(model, state["params"], data.validation(), data.mean_face, config.data.eval_clips)
    except BaseException:
        save_checkpoint(workdir, done, jax.device_get(state), _about(config, data, {}))
        raise
    if not np.isfinite(list(scores.values())).all():  # a gradient may be NaN where its loss is none
        raise _diverged(done)
    listed = "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
    log.info("step %d/%d  validation: %s", done, config.train.steps, listed)
    save_checkpoint(workdir, done, jax.device_get(state), _about(config, data, scores))
    with replacing(workdir / f"validation_{done}.png") as file:
        Image.fromarray(picture).save(file, format="png")
    return scores


def _start(config: RendererConfig, model: PIRender, data: RendererBatches) -> dict[str, Any]:
    size = config.data.image_size
    portrait, windows = jnp.zeros((1, size, size, 3)), jnp.zeros((1, WINDOW, NUM_COEFFICIENTS))
    params = jax.jit(model.init)(jax.random.key(config.train.seed), portrait, windows)["params"]
    params["mapping"]["pre"] = _of_raw(params["mapping"]["pre"], data.mean_face, data.std_face)
    return {"params": params, "optimizer": optax.adam(config.train.learning_rate).init(params)}


def _check_resumable(
    config: RendererConfig, workdir: Path, mean_face: Float[np.ndarray, " C"], about: dict[str, Any]
) -> None:
    free = {"steps", "log_every", "eval_every"}
    saved, current = about["training"]["train"], dataclasses.asdict(config.train)
    differing = [name for name in current if name not in free and saved.get(name) != current[name]]
    saved, current = about["training"]["data"], dataclasses.asdict(config.data)
    differing += [f"data.{name}" for name in ("image_size", "clip_frames") if saved[name] != current[name]]
    if differing:
        raise UserError(f"the run in {workdir} has another configuration ({', '.join(differing)}); keep its values")
    # Runs of older versions do not say theirs.
    if "mean_face" in about and not np.array_equal(about["mean_face"], mean_face.astype(np.float64)):
        raise UserError(
            f"the run in {workdir} is of another data set, whose mean_face differs; give its own --data.dir"
        )


def _of_raw(layer: PyTree, mean: Float[np.ndarray, " C"], std: Float[np.ndarray, " C"]) -> dict[str, Any]:
    """A first layer that makes of raw coefficients what the given one makes of standardised ones.

    Most coefficients move by a few hundredths. A layer that takes them as they are hardly sees them at first, and the
    renderer learns to copy the portrait.
    """
    kernel = layer["kernel"] / jnp.asarray(np.maximum(std, _LEAST_STD), jnp.float32)[None, :, None]
    return {"kernel": kernel, "bias": layer["bias"] - jnp.asarray(mean, jnp.float32) @ kernel[0]}


def _about(config: RendererConfig, data: RendererBatches, scores: dict[str, float]) -> dict[str, Any]:
    return {
        "pirender": {"coefficients": NUM_COEFFICIENTS, "image_size": config.data.image_size},
        "scores": scores,
        "training": dataclasses.asdict(config),
        "mean_face": data.mean_face.astype(np.float64).tolist(),
    }
