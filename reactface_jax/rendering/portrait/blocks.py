"""PIRender's layers: norms with and without a descriptor, sampling at moved positions, convolutions that double a map.

Maps are [B H W C]. Statistics are float32 whatever the maps are. Doubling is computed on the smaller map, with a small
kernel for each of the four pixels that one pixel becomes: the same sums as PyTorch's layers with 4/9 of the products.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from reactface_jax.ops.linear import dense, kernel_initializer
from reactface_jax.ops.winograd import filtered

EPSILON = 1e-5
LEAK = 0.1
_HIDDEN = 128  # of AdaIN's small network
_MANY_CHANNELS = 128  # from here on, on a CPU, fewer products save more than the extra sums cost


def activate(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """LeakyReLU(0.1), the activation of all three networks."""
    return nn.leaky_relu(x, LEAK)


def convolution(
    features: int, kernel: int, dtype: DTypeLike, name: str | None, stride: int = 1, scale: float = 1.0
) -> nn.Conv:
    """A square convolution padded with zeros so that stride 1 keeps the size and stride 2 halves it.

    Args:
      features: channels of the result.
      kernel: height and width of the kernel.
      dtype: of the computation.
      name: of the module.
      stride: 1 or 2.
      scale: of the initial kernel's variance, see `kernel_initializer`.
    """
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=(kernel - stride + 1) // 2,
        dtype=dtype,
        kernel_init=kernel_initializer(scale),
        name=name,
        conv_general_dilated=_by_rows if (kernel, stride) == (3, 1) else None,
    )


def _by_rows(x: Float[Array, "B H W c"], kernel: Float[Array, "3 3 c C"], *how: Any, **more: Any) -> Array:
    """A 3x3 convolution; on CPUs, with many channels, four rows together with half of the products."""

    def convolve(x: Array, kernel: Array) -> Array:
        y: Array = jax.lax.conv_general_dilated(x, kernel, *how, **more)
        return y

    if x.dtype != jnp.float32 or min(kernel.shape[2:]) < _MANY_CHANNELS:
        return convolve(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=filtered_rows, default=convolve)


def filtered_rows(x: Float[Array, "B H W c"], kernel: Float[Array, "3 3 c C"]) -> Float[Array, "B H W C"]:
    """A 3x3 convolution padded with zeros, its rows filtered by Winograd's F(4, 3) (ops/winograd.py).

    One map after the other: the six combinations of one map's rows fit the cache.
    """

    def convolve(x: Array, taps: Array) -> Array:
        return jax.lax.conv_general_dilated(x, taps[None], (1, 1), ((0, 0), (1, 1)), dimension_numbers=_LAYOUT)

    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    y = jnp.concatenate([filtered(x[i : i + 1], kernel, 4, convolve) for i in range(len(x))])
    return y


def _standardise(x: Float[Array, "B H W C"], axes: tuple[int, ...]) -> Float[Array, "B H W C"]:
    """Zero mean and unit variance (biased, in two passes) over `axes`; float32."""
    x = x.astype(jnp.float32)
    x = x - x.mean(axes, keepdims=True)
    return x * jax.lax.rsqrt(jnp.square(x).mean(axes, keepdims=True) + EPSILON)


class MapNorm(nn.Module):
    """Layer norm over (C, H, W) with a scale and a shift a channel; its statistics depend on the picture's size."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return (_standardise(x, (1, 2, 3)) * scale[None, None, None] + bias[None, None, None]).astype(self.dtype)


class AdaIN(nn.Module):
    """Instance norm whose scale and shift come from a descriptor: IN(x) (1 + gamma) + beta."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "#B H W C"], descriptor: Float[Array, "B Z"]) -> Float[Array, "B H W C"]:
        """One map for all descriptors, or one for each."""
        hidden = nn.relu(dense(_HIDDEN, jnp.float32, "shared")(descriptor))
        gamma = dense(x.shape[-1], jnp.float32, "gamma")(hidden)[:, None, None]
        beta = dense(x.shape[-1], jnp.float32, "beta")(hidden)[:, None, None]
        return (_standardise(x, (1, 2)) * (1 + gamma) + beta).astype(self.dtype)


class ConvNorm(nn.Module):
    """Convolution, layer norm, activation."""

    features: int
    kernel: int = 3
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W c"]) -> Float[Array, "B H W C"]:
        return activate(
            MapNorm(self.dtype, name="norm")(convolution(self.features, self.kernel, self.dtype, "conv")(x))
        )


class PairConvNorm(nn.Module):
    """`ConvNorm` of two pictures concatenated in channels; one first picture may serve the second's whole batch.

    The convolution is linear, so the portrait's half is computed once for a batch of frames.
    """

    features: int
    kernel: int = 7
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, first: Float[Array, "P H W c"], second: Float[Array, "B H W c"]) -> Float[Array, "B H W C"]:
        channels = first.shape[-1]
        shape = (self.kernel, self.kernel, 2 * channels, self.features)
        kernel = self.param("kernel", kernel_initializer(1.0), shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)

        def half(x: Array, part: Array) -> Array:
            return jax.lax.conv_general_dilated(x.astype(self.dtype), part, (1, 1), "SAME", dimension_numbers=_LAYOUT)

        x = half(first, kernel[:, :, :channels]) + half(second, kernel[:, :, channels:]) + bias[None, None, None]
        return activate(MapNorm(self.dtype, name="norm")(x))


class UpConvNorm(nn.Module):
    """Nearest enlargement to twice the size, convolution of 3x3, layer norm, activation."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B H W C"]:
        kernel = self.param("kernel", kernel_initializer(1.0), (3, 3, x.shape[-1], self.features)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        x = convolve_doubled(x.astype(self.dtype), kernel) + bias[None, None, None]
        return activate(MapNorm(self.dtype, name="norm")(x))


class TransposedConv(nn.Module):
    """PyTorch's `ConvTranspose2d(kernel_size=3, stride=2, padding=1, output_padding=1)`: twice the size."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B H W C"]:
        kernel = self.param("kernel", kernel_initializer(1.0), (3, 3, x.shape[-1], self.features)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return convolve_transposed(x.astype(self.dtype), kernel) + bias[None, None, None]


_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve_doubled(x: Float[Array, "B h w c"], kernel: Float[Array, "3 3 c C"]) -> Float[Array, "B H W C"]:
    """Nearest enlargement to twice the size and a 3x3 convolution padded with zeros, in one.

    Pixel 2m sees m - 1 through tap 0 and m through taps 1 and 2; pixel 2m + 1 sees m through taps 0 and 1 and m + 1
    through tap 2. One 2x2 convolution gives all four kinds of pixels.
    """

    def merge(taps: Array, axis: int) -> tuple[Array, Array]:
        a, b, c = (jax.lax.slice_in_dim(taps, i, i + 1, axis=axis) for i in range(3))
        return jnp.concatenate([a, b + c], axis), jnp.concatenate([a + b, c], axis)

    phases = [phase for rows in merge(kernel, 0) for phase in merge(rows, 1)]  # 4 of [2 2 c C]
    features = kernel.shape[-1]
    y = jax.lax.conv_general_dilated(
        x, jnp.concatenate(phases, -1), (1, 1), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT
    )  # B h+1 w+1 4C
    height, width = x.shape[1:3]
    parts = [
        y[:, i : i + height, j : j + width, (2 * i + j) * features : (2 * i + j + 1) * features]
        for i in range(2)
        for j in range(2)
    ]
    return _interleave(parts)


def convolve_transposed(x: Float[Array, "B h w c"], kernel: Float[Array, "3 3 c C"]) -> Float[Array, "B H W C"]:
    """PyTorch's transposed convolution (see `TransposedConv`) without its bias; taps in PyTorch's order.

    out[o] = sum over taps k of x[i] kernel[k] with o = 2i - 1 + k: pixel 2m sees m through tap 1; pixel 2m + 1 sees m
    through tap 2 and m + 1 through tap 0.
    """
    even, odd = jnp.array([1]), jnp.array([2, 0])
    parts = []
    for rows, below in ((even, 0), (odd, 1)):
        for columns, right in ((even, 0), (odd, 1)):
            phase = kernel[rows][:, columns]
            padding = ((0, below), (0, right))
            parts.append(jax.lax.conv_general_dilated(x, phase, (1, 1), padding, dimension_numbers=_LAYOUT))
    return _interleave(parts)


def _interleave(parts: list[Array]) -> Float[Array, "B H W C"]:
    """[B h w C] of (even, even), (even, odd), (odd, even) and (odd, odd) pixels into one map."""
    batch, height, width, features = parts[0].shape
    grid = jnp.stack(parts, axis=3).reshape(batch, height, width, 2, 2, features)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, features)


def deformation(flow: Float[Array, "B h w 2"], size: tuple[int, int]) -> Float[Array, "B H W 2"]:
    """Where every pixel of a picture of `size` comes from, x and y in [-1, 1].

    The grid runs from -1 to 1 inclusive over the flow's map, and the flow is in its pixels; the sum is enlarged
    bilinearly with half-pixel centres.
    """
    batch, height, width, _ = flow.shape
    x, y = (2 * jnp.arange(n, dtype=jnp.float32) / (n - 1) - 1 for n in (width, height))
    grid = jnp.stack(jnp.meshgrid(x, y), axis=-1)[None]
    moved = grid + 2 * flow.astype(jnp.float32) / jnp.array([width - 1, height - 1], jnp.float32)[None, None, None]
    return jax.image.resize(moved, (batch, *size, 2), "bilinear")


def sample(image: Float[Array, "P H W c"], positions: Float[Array, "B h w 2"]) -> Float[Array, "B h w c"]:
    """PyTorch's `grid_sample`: bilinear, zeros outside, align_corners False.

    Args:
      image: one picture for all, P = 1, or one for each, P = B.
      positions: x and y in [-1, 1], where ±1 are the outer edges of the border pixels.
    """
    _, height, width, channels = image.shape
    size = jnp.array([width, height], jnp.float32)[None, None, None]
    pixel = ((positions.astype(jnp.float32) + 1) * size - 1) / 2
    corner = jnp.floor(pixel)
    fraction = pixel - corner
    flat = image.reshape(image.shape[0], height * width, channels)
    total = jnp.zeros((*positions.shape[:3], channels), image.dtype)
    for right in (0, 1):
        for below in (0, 1):
            x, y = corner[..., 0] + right, corner[..., 1] + below
            weight = jnp.abs(1 - right - fraction[..., 0]) * jnp.abs(1 - below - fraction[..., 1])
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            x, y = (jnp.clip(value, 0, limit - 1).astype(jnp.int32) for value, limit in ((x, width), (y, height)))
            index = y * width + x
            pixels = flat[0][index] if len(flat) == 1 else jax.vmap(jnp.take, (0, 0, None))(flat, index, 0)
            total += jnp.where(inside, weight, 0.0)[..., None].astype(image.dtype) * pixels
    return total
