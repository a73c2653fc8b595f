"""BatchNorm as PyTorch keeps it: the running variance is the unbiased one, which flax's is not."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-5
MOMENTUM = 0.1
"""Share of the new batch in the running statistics."""
COLLECTION = "batch_stats"


class BatchNorm(nn.Module):
    """Normalises channels over clips and time; in training by the batch's moments, and it keeps count of them."""

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, train: bool) -> Float[Array, "B T D"]:
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable(COLLECTION, "mean", jnp.zeros, shape)
        running_variance = self.variable(COLLECTION, "variance", jnp.ones, shape)
        mean, variance = running_mean.value, running_variance.value
        if train:
            mean = x.mean((0, 1))
            variance = jnp.square(x - mean[None, None]).mean((0, 1))
            if not self.is_initializing():
                count = x.shape[0] * x.shape[1]
                unbiased = variance * (count / max(count - 1, 1))
                running_mean.value += MOMENTUM * (mean - running_mean.value)
                running_variance.value += MOMENTUM * (unbiased - running_variance.value)
        gain = scale * jax.lax.rsqrt(variance + EPSILON)
        return (x - mean[None, None]) * gain[None, None] + bias[None, None]
