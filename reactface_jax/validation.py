"""What a training run measures on validation clips."""

import itertools
from collections.abc import Callable, Iterator
from typing import cast

import flax.linen as nn
import jax
from jaxtyping import Array

from reactface_jax import losses
from reactface_jax.config import Config
from reactface_jax.progress import Metrics
from reactface_jax.sharding import place_batch
from reactface_jax.train_state import TrainState, stream
from reactface_jax.train_step import to_unit_range
from reactface_jax.types import Batch, Reactions

VALIDATION_BATCHES = 8


def make_validation_step(model: nn.Module, config: Config) -> Callable[[TrainState, Batch], tuple[Metrics, Array]]:
    """Losses against the one real listener with the window of evaluation, and the number of clips that counted."""

    def validation_step(state: TrainState, batch: Batch) -> tuple[Metrics, Array]:
        # Step 0's key at every step, so that two validations differ by the parameters alone.
        rngs = {"sample": stream(state.key, "validation", 0)}
        reactions = model.apply({"params": state.params}, to_unit_range(batch.video), batch.audio, rngs=rngs)
        valid = batch.clip >= 0
        loss, parts = losses.validation(cast(Reactions, reactions), batch.listener, valid, weights=config.loss)
        return {"loss": loss, **parts}, valid.sum()

    return validation_step


def validate(
    validation_fn: Callable[[TrainState, Batch], tuple[Metrics, Array]],
    state: TrainState,
    batches: Iterator[Batch],
    mesh: jax.sharding.Mesh,
) -> tuple[dict[str, float], int]:
    """Means over a few batches of validation clips, and how many clips they were."""
    few = itertools.islice(batches, VALIDATION_BATCHES)
    results = jax.device_get([validation_fn(state, place_batch(batch, mesh)) for batch in few])
    results = [(parts, int(count)) for parts, count in results if count]
    num_clips = sum(count for _, count in results)
    names = results[0][0] if results else ()
    return {name: float(sum(parts[name] * count for parts, count in results) / num_clips) for name in names}, num_clips
