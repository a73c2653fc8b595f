"""Bilateral smoothing over time, which coefficients undergo before they are standardised.

Tomasi & Manduchi, "Bilateral filtering for gray and color images", ICCV 1998, over time instead of space. With a
deviation of 20 for differences of coefficients, which are of order 1, it is all but a weighted mean of five frames.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.types import AnyArray

_REACH = 2
_SIGMA = 20.0


def smooth(x: Float[AnyArray, "B T C"]) -> Float[Array, "B T C"]:
    """Five frames around each, weighted by their distance in time and in value; the edge frames are repeated."""
    x = jnp.asarray(x)
    frames = x.shape[1]
    padded = jnp.pad(x, [(0, 0), (_REACH, _REACH), (0, 0)], mode="edge")
    total, weights = jnp.zeros_like(x), jnp.zeros_like(x)
    for tap in range(2 * _REACH + 1):
        other = padded[:, tap : tap + frames]
        near = float(np.exp(-((tap - _REACH) ** 2) / (2 * _SIGMA**2)))
        weight = near * jnp.exp(-jnp.square(other - x) / (2 * _SIGMA**2))
        total, weights = total + weight * other, weights + weight
    return total / weights
