"""Pixels: bytes 0..255 as they are stored, and [-1, 1] as the networks read them."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from reactface_jax.types import AnyArray


def to_unit_range(video: UInt8[AnyArray, "..."]) -> Float[Array, "..."]:
    """0..255 to [-1, 1], on the device: bytes travel there, not floats."""
    return jnp.asarray(video, jnp.float32) / 127.5 - 1
