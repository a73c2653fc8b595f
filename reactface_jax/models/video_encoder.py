"""F-Enc: five 3-D convolutions turn the speaker's frames into a feature a frame."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from reactface_jax.models.convolution import conv3d
from reactface_jax.models.linear import PYTORCH_SCALE, dense, kernel_initializer
from reactface_jax.types import AnyArray

INSTANCE_NORM_EPSILON = 1e-5

ConvolveNormRelu = Callable[[str, Array, int, tuple[int, int, int], int], Array]


class Conv3d(nn.Module):
    """A 3-D convolution without bias; see `conv3d`."""

    features: int
    kernel_size: tuple[int, int, int]
    stride: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W c"]) -> Float[Array, "B T H2 W2 d"]:
        kernel = self.param("kernel", kernel_initializer(), (*self.kernel_size, x.shape[-1], self.features))
        return conv3d(x.astype(self.dtype), jnp.asarray(kernel, self.dtype), stride=self.stride)


class VideoEncoder(nn.Module):
    """Frames [B T H W 3] in [-1, 1] to features [B T D]."""

    feature_dim: int
    grid: int = 28
    """Height and width to which the maps after conv2 are resized."""
    gain: float = 1.0
    """Factor on the last layer's initial kernel. Time changes the mean of normalised maps little: at gain 1 the face
    starts far below the positional encoding that is added to it."""
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, video: Float[Array, "B T H W 3"], lengths: Int[AnyArray, " B"] | None = None
    ) -> Float[Array, "B T D"]:
        """Encodes clips.

        Args:
          video: frames in [-1, 1].
          lengths: valid frames of each clip; the rest is padding, and the result is that of the clip without it
            (features of padded frames mean nothing). None: all frames are valid.
        """
        dim = self.feature_dim
        valid = None if lengths is None else jnp.arange(video.shape[1])[None, :] < lengths[:, None]

        def conv(name: str, x: Array, features: int, kernel: tuple[int, int, int], stride: int) -> Array:
            x = Conv3d(features, kernel, stride, self.dtype, name=name)(x)
            return _hide(nn.relu(instance_norm(x, valid)), valid)

        x = convolve(_hide(video, valid), conv, dim, self.grid)
        return dense(dim, self.dtype, "fc", scale=PYTORCH_SCALE * self.gain**2)(x)


def convolve(video: Float[Array, "B T H W 3"], conv: ConvolveNormRelu, dim: int, grid: int) -> Float[Array, "B T D"]:
    """F-Enc's layers: five convolutions, each by `conv(name, x, features, kernel size, stride in space)`."""
    x = conv("conv1", video, dim // 4, (5, 7, 7), 2)
    x = nn.max_pool(x, (1, 3, 3), (1, 2, 2))
    x = conv("conv2", x, dim, (5, 7, 7), 2)
    x = resize_nearest(x, grid)
    x = conv("conv3", x, dim, (3, 3, 3), 2)
    x = x + conv("conv4", x, dim, (3, 3, 3), 1)
    x = conv("conv5", x, dim, (3, 3, 3), 2)
    return x.mean(axis=(2, 3))


def instance_norm(x: Float[Array, "B T H W c"], valid: Array | None = None) -> Float[Array, "B T H W c"]:
    """InstanceNorm3d without scale or shift: statistics over the valid frames and all pixels, in float32."""
    y = x.astype(jnp.float32)
    mean = _mean(y, valid)
    variance = _mean(jnp.square(y - mean), valid)
    return ((y - mean) * jax.lax.rsqrt(variance + INSTANCE_NORM_EPSILON)).astype(x.dtype)


def resize_nearest(x: Float[Array, "B T H W c"], size: int) -> Float[Array, "B T size size c"]:
    """PyTorch's nearest neighbour: source index floor(i * in / out)."""
    height, width = x.shape[2:4]
    if (height, width) == (size, size):
        return x
    x = jnp.take(x, jnp.arange(size) * height // size, axis=2)
    return jnp.take(x, jnp.arange(size) * width // size, axis=3)


def _mean(x: Array, valid: Array | None) -> Array:
    if valid is None:
        return x.mean(axis=(1, 2, 3), keepdims=True)
    total = _hide(x, valid).sum(axis=(1, 2, 3), keepdims=True)
    count = valid.sum(axis=1) * x.shape[2] * x.shape[3]
    return total / count[:, None, None, None, None]


def _hide(x: Array, valid: Array | None) -> Array:
    return x if valid is None else jnp.where(valid[:, :, None, None, None], x, 0)
