"""What a training run carries from step to step: only data, and the random streams derived from it."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

Params = Mapping[str, Any]
"""A tree of named arrays, or of their shapes or shardings."""


@struct.dataclass
class TrainState:
    """Everything that changes in training, and the key that does not.

    Trees of shapes and of shardings have this class too: its fields are typed `Any` for them.
    """

    step: Any
    """Int[Array, ""]: updates made so far. Where update n was not finite, -1 - n: from then on nothing changes."""
    params: Any
    opt_state: Any
    key: Any
    """PRNGKeyArray: root of all randomness; `stream` derives from it, nothing replaces it."""
    average: Any = None
    """Like `params`: their moving average; None in a run without."""

    @classmethod
    def create(
        cls, params: Any, optimizer: optax.GradientTransformation, key: PRNGKeyArray, *, average: bool = False
    ) -> "TrainState":
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            key=key,
            average=_copy(params) if average else None,
        )

    def with_params(self, params: Any) -> "TrainState":
        """The state with other initial parameters, from which the average, if there is one, starts as well."""
        average = None if self.average is None else _copy(params)
        return dataclasses.replace(self, params=params, average=average)

    @property
    def best_params(self) -> Any:
        """What validation and use take: the average, where there is one."""
        return self.params if self.average is None else self.average


def _copy(params: Any) -> Any:
    """Buffers of their own: what a step is donated may not be the same buffer twice."""
    return jax.tree.map(jnp.copy, params)


def stream(key: PRNGKeyArray, name: str, step: Int[Array, ""] | int) -> PRNGKeyArray:
    """The key of a named stream at a step: the same for the same run, name and step, whatever happened before."""
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)
