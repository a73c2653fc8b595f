"""Sound cut into pieces: video frames, and the short windows of an analysis."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.types import AnyArray


def in_windows(samples: Float[AnyArray, "*B L"], size: int, step: int) -> Float[Array, "*B W S"]:
    """All whole windows of `size` samples, `step` apart, from the first sample; nothing is padded."""
    count = 1 + (samples.shape[-1] - size) // step
    if count < 1:
        raise ValueError(f"{samples.shape[-1]} samples hold no window of {size}")
    return jnp.asarray(samples)[..., np.arange(count)[:, None] * step + np.arange(size)]


def in_frames(samples: Float[AnyArray, "*B L"], size: int) -> Float[Array, "*B T S"]:
    """Consecutive pieces of `size` samples; what is left at the end is dropped."""
    count = samples.shape[-1] // size
    return jnp.asarray(samples)[..., : count * size].reshape(*samples.shape[:-1], count, size)
