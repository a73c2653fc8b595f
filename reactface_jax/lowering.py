"""The train step of a configuration from shapes alone, no parameter made: to compile, count and export it."""

import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh

from reactface_jax.config import Config
from reactface_jax.dry_run import batch_shapes
from reactface_jax.models.build import build_model
from reactface_jax.optimizer import frozen_patterns, make_optimizer
from reactface_jax.sharding import abstract, on_mesh, shardings
from reactface_jax.train_state import TrainState
from reactface_jax.training import init_params, make_train_step
from reactface_jax.types import Batch


def state_shapes(config: Config) -> TrainState:
    """Shapes and types of the training state."""
    model, optimizer = model_and_optimizer(config)

    def init() -> TrainState:
        root = jax.random.key(0)
        return TrainState.create(init_params(model, config, root), optimizer, root, average=config.train.ema > 0)

    shapes: TrainState = jax.eval_shape(init)
    return shapes


def train_step(config: Config, mesh: Mesh) -> tuple[Any, TrainState, Batch]:
    """The jitted step as training runs it on a mesh, and its abstract arguments: for `.lower` or `jax.export`."""
    shapes = state_shapes(config)
    placement = shardings(shapes, mesh)
    step = on_mesh(make_train_step(*model_and_optimizer(config), config), mesh)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=(placement, None))
    return jitted, abstract(shapes, placement), batch_shapes(config, mesh)


def model_and_optimizer(config: Config) -> tuple[Any, Any]:
    """As training makes them."""
    model = build_model(dataclasses.replace(config.model, window=config.train.window))
    return model, make_optimizer(
        config.optimizer, config.train.steps, frozen_patterns(config.model, config.optimizer.frozen)
    )
