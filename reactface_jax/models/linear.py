"""Linear layers that start as PyTorch's do, so that training from scratch starts where the reference starts."""

import flax.linen as nn
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

PYTORCH_SCALE = 1 / 3  # uniform in +-1/sqrt(fan_in) has variance 1 / (3 fan_in)


def kernel_initializer(scale: float = PYTORCH_SCALE) -> Initializer:
    """Uniform with variance `scale / fan_in`."""
    return nn.initializers.variance_scaling(scale, "fan_in", "uniform")


def dense(features: int, dtype: DTypeLike, name: str | None = None, *, scale: float = PYTORCH_SCALE) -> nn.Dense:
    """A linear layer: PyTorch's kernel, a zero bias (PyTorch's starts within +-1/sqrt(fan_in))."""
    return nn.Dense(features, dtype=dtype, kernel_init=kernel_initializer(scale), name=name)
