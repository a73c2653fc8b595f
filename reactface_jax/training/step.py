"""One update of a training run: the losses of a batch, their gradient, the optimiser, the average.

A step whose loss or gradient is not finite changes nothing, nor does any after it: the host, which looks at the
numbers a little later so that the device never waits for it, then still finds the state in which it happened.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from reactface_jax.config import Config
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.training import losses
from reactface_jax.training.optimizer import frozen_patterns, path_mask
from reactface_jax.training.sharding import gathered
from reactface_jax.training.state import Params, TrainState, stream
from reactface_jax.training.training_log import Metrics
from reactface_jax.types import Batch, Reactions

Gradient = Callable[[Params, Batch, PRNGKeyArray, Array], tuple[Metrics, Params]]


def make_gradient(model: nn.Module, config: Config) -> Gradient:
    """Parameters, batch, root key and step to the losses of K reactions from one encoding, and the loss's gradient.

    With `train.accumulate` the batch goes through in parts, whose results are averaged: the whole batch's numbers,
    since every loss is a mean over clips and each clip keeps its noise (dropout is drawn part by part).
    """
    parts = config.train.accumulate
    frozen = frozen_patterns(config.model, config.optimizer.frozen)

    def loss_fn(params: Params, batch: Batch, noise: Array, dropout: PRNGKeyArray) -> tuple[Array, Metrics]:
        # Without a gradient from the start: XLA then leaves out what only frozen parameters need.
        held = path_mask(params, frozen)
        params = jax.tree.map(lambda x, is_held: jax.lax.stop_gradient(x) if is_held else x, params, held)
        reactions = model.apply(
            {"params": gathered(params)},
            to_unit_range(batch.video),
            batch.audio,
            num_reactions=config.train.num_reactions,
            noise=noise,
            deterministic=False,
            rngs={"dropout": dropout},
        )
        loss, metrics = losses.total(
            cast(Reactions, reactions), batch.speaker, batch.neighbours, batch.neighbour_mask, weights=config.loss
        )
        return loss, {"loss": loss, **metrics}

    def part_gradient(params: Params, batch: Batch, noise: Array, dropout: PRNGKeyArray) -> tuple[Metrics, Params]:
        gradients, metrics = jax.grad(loss_fn, has_aux=True)(params, batch, noise, dropout)
        return metrics, gradients

    def gradient(params: Params, batch: Batch, key: PRNGKeyArray, step: Array) -> tuple[Metrics, Params]:
        clips, frames = batch.video.shape[:2]
        shape = (clips, config.train.num_reactions, -(-frames // config.train.window), config.model.feature_dim)
        noise = jax.random.normal(_sample_key(model, stream(key, "sample", step)), shape)
        dropout = stream(key, "dropout", step)
        if parts == 1:
            return part_gradient(params, batch, noise, dropout)

        def add(total: Any, part: tuple[Array, Batch, Array]) -> tuple[Any, None]:
            index, some_clips, some_noise = part
            found = part_gradient(params, some_clips, some_noise, jax.random.fold_in(dropout, index))
            return jax.tree.map(jnp.add, total, found), None

        cut = jax.tree.map(lambda x: _cut(x, parts), (batch, noise))
        one = jax.tree.map(lambda x: x[0], cut)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part_gradient, params, *one, dropout)
        )
        total, _ = jax.lax.scan(add, zeros, (jnp.arange(parts), *cut))
        return cast(tuple[Metrics, Params], jax.tree.map(lambda x: x / parts, total))

    return gradient


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, config: Config
) -> Callable[[TrainState[Array], Batch], tuple[TrainState[Array], Metrics]]:
    """One update: the gradient, AdamW, the moving average."""
    gradient = make_gradient(model, config)

    def train_step(state: TrainState[Array], batch: Batch) -> tuple[TrainState[Array], Metrics]:
        metrics, gradients = gradient(state.params, batch, state.key, state.step)
        metrics |= {"gradient_norm": optax.tree.norm(gradients)}
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        step = state.step + 1
        average = None if state.average is None else _average(state.average, params, step, config.train.ema)
        updated: TrainState[Any] = dataclasses.replace(
            state, step=step, params=params, opt_state=opt_state, average=average
        )
        sound = is_finite(metrics) & (state.step >= 0)
        halted: TrainState[Any] = dataclasses.replace(
            state, step=jnp.where(state.step < 0, state.step, -1 - state.step)
        )
        # The key stays: it needs no choice, and a key can't be chosen.
        updated, halted = (dataclasses.replace(x, key=None) for x in (updated, halted))
        chosen = jax.tree.map(lambda new, old: jnp.where(sound, new, old), updated, halted)
        return dataclasses.replace(chosen, key=state.key), metrics

    return train_step


def is_finite(metrics: Metrics) -> Array:
    """Whether a step's loss and gradient are. A part with weight 0 may be anything."""
    return jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"])


def _average(average: Params, params: Params, step: Int[Array, ""], decay: float) -> Params:
    """The exponential moving average after `step` updates. Early on it forgets faster: the start is no goal.

    `optax.incremental_update` is the same up to rounding, and a run that resumes would not end in the same bits.
    """
    share = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    averages: Params = jax.tree.map(lambda old, new: old + share * (new - old), average, params)
    return averages


def _sample_key(model: nn.Module, key: PRNGKeyArray) -> PRNGKeyArray:
    """The key with which the model would draw its noise itself."""
    return cast(PRNGKeyArray, nn.apply(lambda module: module.make_rng("sample"), model)({}, rngs={"sample": key}))


def _cut(x: Array, parts: int) -> Array:
    """[B ...] to [parts B/parts ...]; each part has as many of each device's clips, so that none travel."""
    return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)
