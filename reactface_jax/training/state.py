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

    @classmethod
    def create(
        cls, params: Params, optimizer: optax.GradientTransformation, key: PRNGKeyArray, *, average: bool = False
    ) -> "TrainState[Array]":
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            key=key,
            average=_copy(params) if average else None,
        )

    def with_params(self, params: Params) -> "TrainState[Leaf]":
        """The state with other initial parameters, from which the average, if there is one, starts as well."""
        average = None if self.average is None else _copy(params)
        return dataclasses.replace(self, params=params, average=average)

    @property
    def best_params(self) -> Params:
        """What validation and use take: the average, where there is one."""
        return self.params if self.average is None else self.average


def _copy(params: Params) -> Params:
    """Buffers of their own: what a step is donated may not be the same buffer twice."""
    copies: Params = jax.tree.map(jnp.copy, params)
    return copies


def stream(key: PRNGKeyArray, name: str, step: Int[Array, ""] | int) -> PRNGKeyArray:
    """The key of a named stream at a step: the same for the same run, name and step, whatever happened before."""
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)
