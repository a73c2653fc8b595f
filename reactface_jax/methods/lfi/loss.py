"""The negative log-likelihood of frames under the flow, in bits."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def bits(z: Float[Array, "B N C"], log_determinant: Float[Array, "B N"]) -> Float[Array, "B N"]:
    """-log2 of each frame's density: the normal prior of `z`, summed over channels, and the volume's change."""
    log_prior = -0.5 * (jnp.square(z) + math.log(2 * math.pi)).sum(-1)
    return -(log_prior + log_determinant) / math.log(2)
