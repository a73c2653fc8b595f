"""ReactFace as the training loop sees it: its losses' gradient, and its answers to validation clips."""

import dataclasses
from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reactface_jax import losses
from reactface_jax.config import Config
from reactface_jax.evaluation.rows import clip_noise
from reactface_jax.methods.learned import Variables
from reactface_jax.models.build import build_model
from reactface_jax.models.precision import products
from reactface_jax.online.generation import protocol_of, react
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.optimizer import check_patterns, frozen_patterns, learning_rate, make_optimizer, path_mask
from reactface_jax.training.accumulation import averaged
from reactface_jax.training.init import init_params
from reactface_jax.training.objective import Gradient, Objective
from reactface_jax.training.sharding import gathered
from reactface_jax.training.state import Params, stream
from reactface_jax.training.training_log import Metrics
from reactface_jax.training.video_warmup import make_video_warmup
from reactface_jax.types import Batch, Reactions


def reactface_objective(config: Config) -> Objective:
    """Of a configuration whose method is ReactFace."""
    model = build_model(dataclasses.replace(config.model, window=config.train.window))
    frozen = frozen_patterns(config.model, config.optimizer.frozen)
    return Objective(
        init=lambda key: Variables(init_params(model, config, key), {}),
        gradient=make_gradient(model, config),
        answer=make_answer(build_model(config.model), config),
        optimizer=make_optimizer(config.optimizer, config.train.steps, frozen),
        frozen=frozen,
        learning_rate=learning_rate(config.optimizer, config.train.steps),
        check=lambda shapes: check_patterns(shapes, config.optimizer),
        warm_up=make_video_warmup(model, config),
    )


def make_gradient(model: nn.Module, config: Config) -> Gradient:
    """The losses of K reactions from one encoding, and the loss's gradient.

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
        neighbours, mask = batch.neighbours, batch.neighbour_mask
        if config.loss.target == "paired":
            neighbours, mask = jnp.asarray(batch.listener)[:, None], jnp.ones((len(batch.listener), 1), bool)
        loss, metrics = losses.total(cast(Reactions, reactions), batch.speaker, neighbours, mask, weights=config.loss)
        return loss, {"loss": loss, **metrics}

    def part_gradient(params: Params, batch: Batch, noise: Array, dropout: PRNGKeyArray) -> tuple[Metrics, Params]:
        with products(config.model, training=True):
            gradients, metrics = jax.grad(loss_fn, has_aux=True)(params, batch, noise, dropout)
        return metrics, gradients

    def gradient(variables: Variables, batch: Batch, key: PRNGKeyArray, step: Array) -> tuple[Metrics, Params, Params]:
        params = variables.params
        clips, frames = batch.video.shape[:2]
        shape = (clips, config.train.num_reactions, -(-frames // config.train.window), config.model.feature_dim)
        noise = jax.random.normal(_sample_key(model, stream(key, "sample", step)), shape)
        dropout = stream(key, "dropout", step)
        if parts == 1:
            return *part_gradient(params, batch, noise, dropout), variables.state

        def of_part(index: Array, some_clips: Batch, some_noise: Array) -> tuple[Metrics, Params]:
            return part_gradient(params, some_clips, some_noise, jax.random.fold_in(dropout, index))

        return *averaged(of_part, parts, batch, noise), variables.state

    return gradient


def make_answer(model: nn.Module, config: Config) -> Callable[[Variables, Batch], tuple[Metrics, Array]]:
    """Variables and batch to losses and reactions.

    A clip's noise is that of `eval.py` and the same in every validation, so that two differ only by the parameters.
    """
    protocol, root = protocol_of(config), jax.random.key(config.eval.seed)

    def answer(variables: Variables, batch: Batch) -> tuple[Metrics, Array]:
        num_windows = -(-batch.video.shape[1] // config.model.window)
        noise = clip_noise(root, batch.clip, (config.eval.num_reactions, num_windows, config.model.feature_dim))
        params = gathered(variables.params)
        listener, mean, std = react(model, protocol, params, to_unit_range(batch.video), batch.audio, noise)
        reactions = Reactions(listener, mean, std, jnp.asarray(batch.speaker))
        loss, parts = losses.validation(reactions, batch.listener, batch.clip >= 0, weights=config.loss)
        return {"loss": loss, **parts}, listener

    return answer


def _sample_key(model: nn.Module, key: PRNGKeyArray) -> PRNGKeyArray:
    """The key with which the model would draw its noise itself."""
    return cast(PRNGKeyArray, nn.apply(lambda module: module.make_rng("sample"), model)({}, rngs={"sample": key}))
