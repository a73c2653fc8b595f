"""Linear layers that start as PyTorch's do, so that training from scratch starts where the reference starts."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import DotDimensionNumbers
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from reactface_jax.types import AnyArray

PYTORCH_SCALE = 1 / 3  # uniform in +-1/sqrt(fan_in) has variance 1 / (3 fan_in)
_FEW_ROWS = 64


def kernel_initializer(scale: float = PYTORCH_SCALE) -> Initializer:
    """Uniform with variance `scale / fan_in`."""
    return nn.initializers.variance_scaling(scale, "fan_in", "uniform")


def uniform_within(bound: float) -> Initializer:
    """Uniform in +-bound; PyTorch's recurrent layers start so, with 1/sqrt(width), biases too."""

    def draw(key: Array, shape: Sequence[int | Any], dtype: Any = None, out_sharding: Any = None) -> Array:
        dtype = jnp.float32 if dtype is None else dtype
        return jax.random.uniform(key, shape, dtype, -bound, bound, out_sharding=out_sharding)

    return draw


def exact_product(x: Float[AnyArray, "*B n"], matrix: Float[AnyArray, "n m"]) -> Float[Array, "*B m"]:
    """In float32 on every device: accelerators round a product's factors to fewer bits where nothing is said."""
    return jnp.matmul(x, matrix, precision=jax.lax.Precision.HIGHEST)


def dense(features: int, dtype: DTypeLike, name: str | None = None, *, scale: float = PYTORCH_SCALE) -> nn.Dense:
    """A linear layer: PyTorch's kernel, a zero bias (PyTorch's starts within +-1/sqrt(fan_in))."""
    return nn.Dense(features, dtype=dtype, kernel_init=kernel_initializer(scale), name=name)


def dot_of_few_rows(
    x: Float[Array, "... n"],
    kernel: Float[Array, "n m"],
    dimension_numbers: DotDimensionNumbers,
    precision: jax.lax.PrecisionLike = None,
) -> Float[Array, "... m"]:
    """For `nn.Dense(dot_general=)` where `x` has few rows and the kernel is large, as for one window of speech.

    XLA's CPU backend reads such a kernel a quarter faster for a convolution of width 1 (docs/performance.md).
    """

    def product(x: Array, kernel: Array) -> Array:
        return jax.lax.dot_general(x, kernel, dimension_numbers, precision=precision)

    def convolution(x: Array, kernel: Array) -> Array:
        rows = x.reshape(1, -1, x.shape[-1])
        y = jax.lax.conv_general_dilated(
            rows, kernel[None], (1,), "VALID", dimension_numbers=("NHC", "HIO", "NHC"), precision=precision
        )
        return y.reshape(*x.shape[:-1], -1)

    if math.prod(x.shape[:-1]) > _FEW_ROWS:
        return product(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=convolution, default=product)
