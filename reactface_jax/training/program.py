"""What a configuration runs on a mesh: model, optimiser, shapes of the state, the two jitted programs.

The loop trains with it, the dry run, tests and benchmarks compile it from shapes only.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import optax
from jax.sharding import Mesh, NamedSharding

from reactface_jax.config import Config
from reactface_jax.models.build import build_model
from reactface_jax.training.dry_run import batch_shapes
from reactface_jax.training.init import init_params
from reactface_jax.training.optimizer import check_patterns, frozen_patterns, make_optimizer
from reactface_jax.training.sharding import abstract, check_mesh, on_mesh, shardings
from reactface_jax.training.state import TrainState, stream
from reactface_jax.training.step import make_train_step
from reactface_jax.types import Batch

_ONE_USE = {"cpu": {"xla_backend_optimization_level": 0}}
"""By backend, for a program that runs once: optimising 300 random draws takes longer than drawing them."""


@dataclass(frozen=True)
class Program:
    """A training run's programs; nothing is compiled and no parameter made before they are called."""

    model: nn.Module
    optimizer: optax.GradientTransformation
    placement: TrainState[NamedSharding]
    """The state's tree of shardings."""
    state: TrainState[jax.ShapeDtypeStruct]
    """The state's tree of shapes, each with its sharding."""
    batch: Batch
    """A batch's shapes, those of all hosts together."""
    start: Callable[[], TrainState[jax.Array]]
    """The state at step 0, made where it lives."""
    step: Any
    """`jax.jit` of state and batch to the next state, in the old one's memory, and metrics."""


def make_program(config: Config, mesh: Mesh) -> Program:
    """Raises `UserError` if the mesh or the optimiser's patterns do not fit the configuration."""
    check_mesh(config, mesh)
    model = build_model(dataclasses.replace(config.model, window=config.train.window))
    frozen = frozen_patterns(config.model, config.optimizer.frozen)
    optimizer = make_optimizer(config.optimizer, config.train.steps, frozen)

    def init() -> TrainState:
        root = jax.random.key(config.train.seed)
        params = init_params(model, config, stream(root, "params", 0))
        return TrainState.create(params, optimizer, root, average=config.train.ema > 0)

    shapes = jax.eval_shape(init)
    check_patterns(shapes.params, config.optimizer)
    placement = shardings(shapes, mesh)
    step = on_mesh(make_train_step(model, optimizer, config), mesh)
    return Program(
        model=model,
        optimizer=optimizer,
        placement=placement,
        state=abstract(shapes, placement),
        batch=batch_shapes(config, mesh),
        start=jax.jit(init, out_shardings=placement, compiler_options=_ONE_USE.get(jax.default_backend())),
        step=jax.jit(step, donate_argnums=0, out_shardings=(placement, None)),
    )
