"""One update of a training run: the loss of a batch, its gradient, the optimiser."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from reactface_jax import losses
from reactface_jax.config import Config
from reactface_jax.progress import Metrics
from reactface_jax.train_state import TrainState, stream
from reactface_jax.types import AnyArray, Batch, Reactions


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, config: Config
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """One update: K reactions from one encoding, the five losses, AdamW."""

    def loss_fn(params: Any, batch: Batch, rngs: dict[str, PRNGKeyArray]) -> tuple[Array, Metrics]:
        reactions = model.apply(
            {"params": params},
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


def to_unit_range(video: UInt8[AnyArray, "..."]) -> Float[Array, "..."]:
    """0..255 to [-1, 1], on the device: bytes travel there, not floats."""
    return jnp.asarray(video, jnp.float32) / 127.5 - 1
