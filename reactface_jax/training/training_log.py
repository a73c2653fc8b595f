"""What a training run reports: at the start what runs, then losses and speed, to the log and to TensorBoard."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from reactface_jax.config import Config, OptimizerConfig, differences
from reactface_jax.methods.rows import picture_size
from reactface_jax.models.precision import described
from reactface_jax.optimizer import path_mask
from reactface_jax.step_clock import StepClock
from reactface_jax.training.curves import Curves
from reactface_jax.tree_names import named_leaves

log = logging.getLogger(__name__)

Metrics = dict[str, Float[Array, ""]]


def what_runs(
    config: Config,
    mesh: Mesh,
    versions: Mapping[str, str],
    data: str,
    params: Any,
    start: int,
    frozen: Sequence[str] = (),
) -> Iterator[str]:
    """Lines for the start of the log: devices, versions, data, batch, parameters by part, steps.

    Args:
      config: the experiment.
      mesh: the devices.
      versions: of the packages.
      data: which data, how many clips.
      params: parameters, or their shapes.
      start: updates made so far.
      frozen: regular expressions of the parameter paths that stay as they are.
    """
    train, device = config.train, mesh.devices.flat[0]
    axes = ", ".join(f"{name} {size}" for name, size in mesh.shape.items())
    yield f"devices: {mesh.size} x {device.device_kind} ({device.platform}), {jax.process_count()} process(es); {axes}"
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"data: {data}"
    size = picture_size(config)
    pictures = f"at {size}x{size}" if size else "without pictures"
    how = f"{train.num_reactions} reactions in windows of {train.window}, {config.model.dtype}"
    if config.method != "reactface":
        how = f"method {config.method}"
    yield f"batch: {train.batch_size} clips of {config.data.clip_frames} frames {pictures}, {how}"
    sizes = {name: leaf.size for name, leaf in named_leaves(params).items()}  # of arrays or of shapes
    held = jax.tree.leaves(path_mask(params, frozen))
    num_frozen = sum(size for size, is_frozen in zip(sizes.values(), held, strict=True) if is_frozen)
    yield f"parameters: {sum(sizes.values()):,} ({num_frozen:,} frozen)"
    parts: dict[str, int] = {}
    for name, size in sizes.items():
        part = "/".join(name.split("/")[:2])
        parts[part] = parts.get(part, 0) + size
    yield from (f"  {part}: {size:,}" for part, size in parts.items())
    yield f"precision: {described(config.model, device.platform)} (model.precision {config.model.precision})"
    if unused := [] if config.uses_optimizer else differences(OptimizerConfig(), config.optimizer, "optimizer."):
        names = ", ".join(line.partition(":")[0] for line in unused)
        yield f"not used by {config.method}: {names}; it learns by {' and '.join(config.rates)}"
    if start >= train.steps:
        yield f"steps: all {train.steps} were made" + (
            "" if config.steps_shape_rate else "; a higher --train.steps goes on"
        )
    else:
        yield f"steps: {start} to {train.steps}{', resumed' if start else ''}; the first one compiles"


class Progress:
    """Collects metrics on the device; `report` fetches, logs and writes them, so that steps need no sync."""

    def __init__(self, config: Config, curves: Curves, learning_rate: optax.Schedule | None = None):
        self._steps = config.train.steps
        self._learning_rate = None if learning_rate is None else jax.jit(learning_rate)  # one program, not ten
        self._curves = curves
        self._pending: list[tuple[int, Metrics]] = []
        self._clock = StepClock()

    def add(self, step: int, metrics: Metrics) -> None:
        """Takes a step's metrics, which may still be computing."""
        self._pending.append((step, metrics))
        self._clock.count(metrics)

    def report(self) -> None:
        """Reports the means since the last report."""
        if not self._pending:
            return
        steps = [step for step, _ in self._pending]
        fetched = jax.device_get([metrics for _, metrics in self._pending])
        self._pending.clear()
        means = {name: float(np.mean([metrics[name] for metrics in fetched])) for name in fetched[0]}
        if self._learning_rate is not None:
            means["learning_rate"] = float(self._learning_rate(steps[-1] - 1))
        speed = self._clock.steps_per_second()
        left = ""
        if speed is not None:
            left = f"  {speed:.3g} steps/s  {timedelta(seconds=round((self._steps - steps[-1]) / speed))} left"
            means["steps_per_second"] = speed
        if (used := peak_memory()) is not None:
            left += f"  {used / 2**30:.3g} GiB of device memory at most"
            means["peak_memory_gib"] = used / 2**30
        self._write("train", steps[-1], means)
        apart = ("learning_rate", "steps_per_second", "peak_memory_gib")
        shown = {name: value for name, value in means.items() if name not in apart}
        log.info("step %d/%d  %s%s", steps[-1], self._steps, _listed(shown), left)

    def report_validation(
        self, step: int, losses: Mapping[str, float], scores: Mapping[str, float], num_clips: int
    ) -> None:
        """Reports the losses and the measures of docs/metrics.md; the log leaves out those that only explain others."""
        self._write("validation", step, {**losses, **scores})
        shown = {name: value for name, value in scores.items() if name.startswith("FR") and "_" not in name}
        listed = _listed({**losses, **shown})
        log.info("step %d/%d  validation on %d clips: %s", step, self._steps, num_clips, listed)

    def show(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Writes a picture to TensorBoard."""
        self._curves.show(step, name, picture)

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """What happens inside is not training: it does not count as time."""
        return self._clock.paused()

    def _write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        self._curves.add(step, {f"{group}/{name}": value for name, value in values.items()})


def peak_memory() -> int | None:
    """Bytes that this process's first device has held at once; None where the backend does not count, as on CPUs."""
    stats = jax.local_devices()[0].memory_stats()
    return None if not stats else stats.get("peak_bytes_in_use")


def _listed(values: Mapping[str, float]) -> str:
    names = sorted(values, key=lambda name: name != "loss")  # what comes out of jit is in alphabetical order
    return "  ".join(f"{name} {values[name]:.4g}" for name in names)
