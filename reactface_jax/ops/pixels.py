"""Pixels: bytes 0 … 255 as they are stored, and [-1, 1] as the networks read them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from reactface_jax.types import AnyArray


def to_unit_range(video: UInt8[AnyArray, "..."]) -> Float[Array, "..."]:
    """0 … 255 to [-1, 1] in float32, on the device: bytes travel there, not floats."""
    return jnp.asarray(video, jnp.float32) / 127.5 - 1


def to_unit_range_on_host(video: UInt8[AnyArray, "..."]) -> Float[np.ndarray, "..."]:
    """`to_unit_range` without a device: float32 as a NumPy array, equal to the last digit or the one before."""
    return np.asarray(video) / np.float32(127.5) - 1


@jax.jit
def to_bytes(pictures: Float[AnyArray, "..."]) -> UInt8[Array, "..."]:
    """[-1, 1] to 0 … 255, rounded; what lies outside is clipped."""
    return jnp.clip(jnp.round((pictures.astype(jnp.float32) + 1) * 127.5), 0, 255).astype(jnp.uint8)
