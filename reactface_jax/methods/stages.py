"""Trainings one after another: each stage has its own part of the parameters and its own optimiser."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int


class StagedState(NamedTuple):
    """Of the optimiser of all stages."""

    step: Int[Array, ""]
    parts: Mapping[str, optax.OptState]


def staged(begins: Sequence[int], parts: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """Stage i trains the i-th entry of `parts`, which is an entry of the parameters, and no other.

    What belongs to another stage gets no update, and its moments and counts stay as they are.

    Args:
      begins: the step at which each stage begins, from 0.
      parts: an entry of the parameters to its optimiser, in the stages' order.
    """

    def init(params: Any) -> StagedState:
        return StagedState(jnp.zeros((), jnp.int32), {name: part.init(params[name]) for name, part in parts.items()})

    def update(gradients: Any, state: StagedState, params: Any = None) -> tuple[Any, StagedState]:
        stage = (state.step >= jnp.asarray(begins)).sum() - 1
        updates, states = {}, {}
        for index, (name, part) in enumerate(parts.items()):
            updates[name], states[name] = jax.lax.cond(
                stage == index,
                part.update,
                lambda gradients, inner, _: (jax.tree.map(jnp.zeros_like, gradients), inner),
                gradients[name],
                state.parts[name],
                params[name],
            )
        return updates, StagedState(state.step + 1, states)

    return optax.GradientTransformation(init, update)
