"""Mean and variance of everything seen so far: the causal form of norms over time.

Sums lose their last digits over hours, so averages are carried, and each chunk updates them by its deviations from
them. A chunk of any length gives what its frames give one by one, to rounding.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Statistics(NamedTuple):
    """Of each channel, over all frames of a conversation up to some frame."""

    mean: Float[Array, "B c"]
    variance: Float[Array, "B c"]

    @classmethod
    def empty(cls, batch_size: int, channels: int) -> "Statistics":
        return cls(*(jnp.zeros((batch_size, channels), jnp.float32) for _ in range(2)))


def accumulate(
    mean: Float[Array, "B T c"],
    variance: Float[Array, "B T c"],
    before: Statistics | None = None,
    count: Int[Array, " B"] | None = None,
) -> tuple[Float[Array, "B T c"], Float[Array, "B T c"], Statistics]:
    """Statistics over frames 0 ... t, for each frame t of a chunk.

    Args:
      mean: of each frame by itself, over the same number of values in every frame.
      variance: likewise.
      before: statistics up to the chunk (None: the chunk is a conversation's first).
      count: frames in them; where it is 0, `before` is ignored.

    Returns:
      Mean and variance up to each frame, and those after the chunk.
    """
    batch, frames, channels = mean.shape
    if before is None or count is None:
        before, count = Statistics.empty(batch, channels), jnp.zeros((batch,), jnp.int32)
    seen = count.astype(jnp.float32)[:, None]  # B 1
    # Deviations from a nearby mean: in a difference of the values' own squares, digits would cancel.
    origin = jnp.where(seen == 0, mean[:, 0], before.mean)[:, None]  # B 1 c
    known = (seen * jnp.where(seen == 0, 0, before.variance))[:, None]
    total = (seen + jnp.arange(1.0, frames + 1, dtype=jnp.float32)[None])[..., None]  # B T 1
    deviation = mean - origin
    shift = jnp.cumsum(deviation, axis=1) / total
    square = (known + jnp.cumsum(variance + jnp.square(deviation), axis=1)) / total
    running_mean, running_variance = origin + shift, jnp.maximum(square - jnp.square(shift), 0)
    return running_mean, running_variance, Statistics(running_mean[:, -1], running_variance[:, -1])


def by_frame(
    x: Float[Array, "B T n c"], before: Statistics | None, count: Int[Array, " B"] | None
) -> tuple[Float[Array, "B T 1 c"], Float[Array, "B T 1 c"], Statistics]:
    """Mean and variance of everything up to the end of each video frame, which holds n values; and those after all."""
    mean = x.mean(axis=2)
    variance = jnp.square(x - mean[:, :, None]).mean(axis=2)
    mean, variance, after = accumulate(mean, variance, before, count)
    return mean[:, :, None], variance[:, :, None], after
