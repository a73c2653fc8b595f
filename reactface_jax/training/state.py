"""What a training run carries from step to step: only data, and the random streams derived from it."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

from reactface_jax.methods.learned import Variables

if TYPE_CHECKING:
    Params = Mapping[str, Any]
    """A tree of named arrays, or of their shapes or shardings."""
    OptState = tuple[Any, ...]
    """A tree of optax's, likewise."""
else:
    Params = OptState = Any  # JAX builds such trees with placeholders of its own, which checks while running see
Leaf = TypeVar("Leaf")


@struct.dataclass
class TrainState(Generic[Leaf]):
    """Everything that changes in training, and the key that does not.

    `TrainState[Array]` is the state itself; its shapes are a `TrainState[ShapeDtypeStruct]`, where it lives is a
    `TrainState[NamedSharding]`.
    """

    step: Leaf
    """Int[Array, ""]: updates made so far. Where update n was not finite, -1 - n: from then on nothing changes."""
    params: Params
    opt_state: OptState
    key: Leaf
    """PRNGKeyArray: root of all randomness; `stream` derives from it, nothing replaces it."""
    average: Params | None = None
    """Like `params`: their moving average; None in a run without."""
    method_state: Params | None = None
    """What a method carries besides parameters (`Variables.state`); None where that is nothing, as in ReactFace."""

    @classmethod
    def create(
        cls,
        params: Params,
        optimizer: optax.GradientTransformation,
        key: PRNGKeyArray,
        *,
        average: bool = False,
        method_state: Params | None = None,
    ) -> "TrainState[Array]":
        """A state before its first update.

        Args:
          params: initial.
          optimizer: of the run.
          key: root of its randomness.
          average: keep a moving average of the parameters.
          method_state: of the method, if it has any.
        """
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            key=key,
            average=_copy(params) if average else None,
            method_state=method_state if jax.tree.leaves(method_state) else None,
        )

    def with_params(self, params: Params) -> "TrainState[Leaf]":
        """The state with other initial parameters, from which the average, if there is one, starts as well."""
        average = None if self.average is None else _copy(params)
        return dataclasses.replace(self, params=params, average=average)

    def with_variables(self, variables: Variables) -> "TrainState[Leaf]":
        """The state with a method's other variables; the average starts from their parameters."""
        state = variables.state if jax.tree.leaves(variables.state) else None
        return dataclasses.replace(self.with_params(variables.params), method_state=state)

    @property
    def best_params(self) -> Params:
        """What validation and use take: the average, where there is one."""
        return self.params if self.average is None else self.average

    @property
    def variables(self) -> Variables:
        """As the method trains with them."""
        return Variables(self.params, self.method_state or {})

    @property
    def best_variables(self) -> Variables:
        """As validation and use take them."""
        return Variables(self.best_params, self.method_state or {})


def _copy(params: Params) -> Params:
    """Buffers of their own: what a step is donated may not be the same buffer twice."""
    copies: Params = jax.tree.map(jnp.copy, params)
    return copies


def stream(key: PRNGKeyArray, name: str, step: Int[Array, ""] | int) -> PRNGKeyArray:
    """The key of a named stream at a step: the same for the same run, name and step, whatever happened before."""
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)
