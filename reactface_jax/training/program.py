"""What a configuration runs on a mesh: objective, shapes of the state, the two jitted programs.

The loop trains with it, the dry run, tests and benchmarks compile it from shapes only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding

from reactface_jax.config import Config
from reactface_jax.training.dry_run import batch_shapes
from reactface_jax.training.methods import make_objective
from reactface_jax.training.objective import Objective
from reactface_jax.training.sharding import abstract, check_mesh, on_mesh, place_batch, shardings
from reactface_jax.training.state import TrainState, stream
from reactface_jax.training.step import make_train_step
from reactface_jax.types import Batch

_ONE_USE = {"cpu": {"xla_backend_optimization_level": 0}}
"""By backend, for a program that runs once: optimising 300 random draws takes longer than drawing them."""


@dataclass(frozen=True)
class Program:
    """A training run's programs; nothing is compiled and no parameter made before they are called."""

    objective: Objective
    mesh: Mesh
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

    def begins_stage(self, step: int) -> bool:
        """Whether a stage begins with the update after `step` of them."""
        return step in self.objective.stages

    def in_last_stage(self, step: int) -> bool:
        """Whether update number `step`, from 1, belongs to the last stage."""
        return step > self.objective.stages[-1]

    def begin_stage(
        self, state: TrainState[jax.Array], step: int, batches: Callable[[], Iterator[Batch]]
    ) -> TrainState[jax.Array]:
        """The state as the stage starts with it: the same whenever a run comes to this step, or comes back to it.

        Args:
          state: after `step` updates.
          step: at which a stage begins.
          batches: of the training, from this step on; this process's part of them.
        """
        if step == 0 and self.objective.warm_up is not None:
            warm = self.objective.warm_up(state.params, (place_batch(batch, self.mesh) for batch in batches()))
            state = state.with_params(jax.device_put(warm, self.placement.params))
        if self.objective.begin is None:
            return state
        whole = (_of_all_hosts(batch, self.mesh) for batch in batches())
        found = self.objective.begin(self.objective.stages.index(step), state.variables, whole)
        placed = jax.device_put(found, self.placement.variables)
        return state.with_variables(jax.tree.map(jnp.copy, placed))  # what a step is donated is nobody else's


def make_program(config: Config, mesh: Mesh) -> Program:
    """Raises `UserError` if the mesh or the optimiser's patterns do not fit the configuration."""
    check_mesh(config, mesh)
    objective = make_objective(config)

    def init() -> TrainState:
        root = jax.random.key(config.train.seed)
        variables = objective.init(stream(root, "params", 0))
        average, method_state = config.train.ema > 0, variables.state
        return TrainState.create(
            variables.params, objective.optimizer, root, average=average, method_state=method_state
        )

    shapes = jax.eval_shape(init)
    objective.check(shapes.params)
    placement = shardings(shapes, mesh, has_rules=objective.has_rules)
    step = on_mesh(make_train_step(objective.gradient, objective.optimizer, config, objective.stages), mesh)
    return Program(
        objective=objective,
        mesh=mesh,
        placement=placement,
        state=abstract(shapes, placement),
        batch=batch_shapes(config, mesh),
        start=jax.jit(init, out_shardings=placement, compiler_options=_ONE_USE.get(jax.default_backend())),
        step=jax.jit(step, donate_argnums=0, out_shardings=(placement, None)),
    )


def _of_all_hosts(batch: Batch, mesh: Mesh) -> Batch:
    """The whole batch on every host, where several share it."""
    if jax.process_count() == 1:
        return batch
    placed = place_batch(batch, mesh)
    return jax.tree.map(lambda x: np.asarray(multihost_utils.process_allgather(x, tiled=True)), placed)
