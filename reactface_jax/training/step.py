"""One update of a training run: the losses of a batch, their gradient, the optimiser, the average.

A step whose loss or gradient is not finite changes nothing, nor does any after it: the host, which looks at the
numbers a little later so that the device never waits for it, then still finds the state in which it happened.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from reactface_jax.config import Config
from reactface_jax.training.objective import Gradient
from reactface_jax.training.state import Params, TrainState
from reactface_jax.training.training_log import Metrics
from reactface_jax.types import Batch


def make_train_step(
    gradient: Gradient, optimizer: optax.GradientTransformation, config: Config, stages: tuple[int, ...] = (0,)
) -> Callable[[TrainState[Array], Batch], tuple[TrainState[Array], Metrics]]:
    """One update: the gradient, the optimiser, the moving average.

    Args:
      gradient: of the objective.
      optimizer: its own.
      config: the experiment.
      stages: updates after which a stage begins; the average starts anew with each.
    """

    def train_step(state: TrainState[Array], batch: Batch) -> tuple[TrainState[Array], Metrics]:
        metrics, gradients, method_state = gradient(state.variables, batch, state.key, state.step)
        metrics = {**metrics, "gradient_norm": optax.tree.norm(gradients)}
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        step = state.step + 1
        average = state.average
        if average is not None:
            average = _average(average, params, _in_stage(step, stages), config.train.ema)
        updated: TrainState[Any] = dataclasses.replace(
            state,
            step=step,
            params=params,
            opt_state=opt_state,
            average=average,
            method_state=None if state.method_state is None else method_state,
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


def _in_stage(step: Int[Array, ""], stages: tuple[int, ...]) -> Int[Array, ""]:
    """How many of `step` updates belong to the current stage."""
    if len(stages) == 1:
        return step
    begins = jnp.asarray(stages)
    return step - jnp.where(begins < step, begins, 0).max()


def _average(average: Params, params: Params, step: Int[Array, ""], decay: float) -> Params:
    """The exponential moving average after `step` updates of it. Early on it forgets faster: the start is no goal.

    `optax.incremental_update` is the same up to rounding, and a run that resumes would not end in the same bits.
    """
    share = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    averages: Params = jax.tree.map(lambda old, new: old + share * (new - old), average, params)
    return averages
