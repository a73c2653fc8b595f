"""What a training run carries from step to step: data alone, and the random streams derived from it."""

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray


@struct.dataclass
class TrainState:
    """Everything that changes in training, and the key that does not.

    Trees of shapes and of shardings have this class too: its fields are typed `Any` for them.
    """

    step: Any
    """Int[Array, ""]: updates made so far."""
    params: Any
    opt_state: Any
    key: Any
    """PRNGKeyArray: root of all randomness; `stream` derives from it, nothing replaces it."""

    @classmethod
    def create(cls, params: Any, optimizer: optax.GradientTransformation, key: PRNGKeyArray) -> "TrainState":
        return cls(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params), key=key)


def stream(key: PRNGKeyArray, name: str, step: Int[Array, ""] | int) -> PRNGKeyArray:
    """The key of a named stream at a step: the same for the same run, name and step, whatever happened before."""
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)
