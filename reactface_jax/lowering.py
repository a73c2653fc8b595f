"""The train step of a configuration from shapes alone, no parameter made: to compile, count and export it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from reactface_jax.config import Config
from reactface_jax.models.build import build_model
from reactface_jax.optimizer import frozen_patterns, make_optimizer
from reactface_jax.sharding import BATCH_SPEC, abstract, on_mesh, shardings
from reactface_jax.train_state import TrainState
from reactface_jax.training import init_params, make_train_step
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, Batch


def state_shapes(config: Config) -> TrainState:
    """Shapes and types of the training state."""
    model, optimizer = _parts(config)

    def init() -> TrainState:
        return TrainState.create(init_params(model, config, jax.random.key(0)), optimizer, jax.random.key(0))

    shapes: TrainState = jax.eval_shape(init)
    return shapes


def batch_shapes(config: Config, mesh: Mesh) -> Batch:
    """Shapes, types and places of a global batch."""
    rows, frames, side = config.train.batch_size, config.data.clip_frames, config.data.image_size
    neighbours = config.data.max_neighbours

    def one(*shape: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct((rows, *shape), dtype, sharding=NamedSharding(mesh, BATCH_SPEC))

    return Batch(
        video=one(frames, side, side, 3, dtype=jnp.uint8),
        audio=one(frames * SAMPLES_PER_FRAME),
        speaker=one(frames, NUM_COEFFICIENTS),
        listener=one(frames, NUM_COEFFICIENTS),
        neighbours=one(neighbours, frames, NUM_COEFFICIENTS),
        neighbour_mask=one(neighbours, dtype=jnp.bool_),
        clip=one(dtype=jnp.int32),
    )


def train_step(config: Config, mesh: Mesh) -> tuple[Any, TrainState, Batch]:
    """The jitted step as training runs it on a mesh, and its abstract arguments: for `.lower` or `jax.export`."""
    shapes = state_shapes(config)
    placement = shardings(shapes, mesh)
    step = on_mesh(make_train_step(*_parts(config), config), mesh)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=(placement, None))
    return jitted, abstract(shapes, placement), batch_shapes(config, mesh)


def _parts(config: Config) -> tuple[Any, Any]:
    model = build_model(dataclasses.replace(config.model, window=config.train.window))
    return model, make_optimizer(config.optimizer, config.train.steps, frozen_patterns(config.model))
