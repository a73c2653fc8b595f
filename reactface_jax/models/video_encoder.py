"""F-Enc: five 3-D convolutions turn the speaker's frames into a feature a frame."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from reactface_jax.ops.convolution import conv3d
from reactface_jax.ops.linear import PYTORCH_SCALE, dense, kernel_initializer
from reactface_jax.ops.pooling import max_pool
from reactface_jax.types import AnyArray

INSTANCE_NORM_EPSILON = 1e-5

ConvolveNormRelu = Callable[[str, Array, int, tuple[int, int, int], int, bool], Array]


class ConvolutionAndMoments(nn.Module):
    """A 3-D convolution without bias (see `conv3d`), each frame's mean and variance, and max-pooling if wanted.

    Norm and ReLU are increasing functions, so max-pooling before them gives the same as after them and leaves them a
    quarter of the values. With `chunk`, frames are convolved `chunk` at a time and again for the gradient, so that no
    unpooled map of a whole clip is ever in memory; the moments are of whole frames, so chunks do not change them.
    """

    features: int
    kernel_size: tuple[int, int, int]
    stride: int
    pool: bool = False
    chunk: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T H W c"]
    ) -> tuple[Float[Array, "B T H2 W2 d"], Float[Array, "B T d"], Float[Array, "B T d"]]:
        kernel = self.param(
            "kernel", kernel_initializer(), (*self.kernel_size, x.shape[-1], self.features), jnp.float32
        )
        kernel, x = jnp.asarray(kernel, self.dtype), x.astype(self.dtype)

        def of_frames(x: Array, margin: int | None) -> tuple[Array, Array, Array]:
            y = conv3d(x, kernel, stride=self.stride, margin=margin)
            wide = y.astype(jnp.float32)
            mean = wide.mean(axis=(2, 3))
            variance = jnp.square(wide - mean[:, :, None, None]).mean(axis=(2, 3))
            return max_pool(y) if self.pool else y, mean, variance

        frames = x.shape[1]
        if not 0 < self.chunk < frames:
            return of_frames(x, None)
        chunks = _overlapping(x, self.chunk, self.kernel_size[0] // 2)

        @jax.checkpoint
        def step(nothing: None, chunk: Array) -> tuple[None, tuple[Array, Array, Array]]:
            return nothing, of_frames(chunk, 0)

        _, found = jax.lax.scan(step, None, chunks)
        y, mean, variance = (_joined(part)[:, :frames] for part in found)
        return y, mean, variance


class VideoEncoder(nn.Module):
    """Frames [B T H W 3] in [-1, 1] to features [B T D]."""

    feature_dim: int
    grid: int = 28
    """Height and width to which the maps after conv2 are resized."""
    gain: float = 1.0
    """Factor on the last layer's initial kernel. The mean of a normalised map varies little over time: at gain 1 the
    face features start far smaller than the positional encoding that is added to them."""
    dtype: DTypeLike = jnp.float32
    chunk: int = 0
    """Frames that are convolved at a time; 0: all."""

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

        def conv(name: str, x: Array, features: int, kernel: tuple[int, int, int], stride: int, pool: bool) -> Array:
            layer = ConvolutionAndMoments(features, kernel, stride, pool, self.chunk, self.dtype, name=name)
            x, mean, variance = layer(x)
            return _hide(nn.relu(instance_norm(x, mean, variance, valid)), valid)

        x = face_features(_hide(video, valid), conv, dim, self.grid)
        return dense(dim, self.dtype, "fc", scale=PYTORCH_SCALE * self.gain**2)(x)


def face_features(
    video: Float[Array, "B T H W 3"], conv: ConvolveNormRelu, dim: int, grid: int
) -> Float[Array, "B T D"]:
    """F-Enc's layers: five convolutions by `conv(name, x, features, kernel size, stride in space, max-pooled)`."""
    x = conv("conv1", video, dim // 4, (5, 7, 7), 2, True)
    x = conv("conv2", x, dim, (5, 7, 7), 2, False)
    x = resize_nearest(x, grid)
    x = conv("conv3", x, dim, (3, 3, 3), 2, False)
    x = x + conv("conv4", x, dim, (3, 3, 3), 1, False)
    x = conv("conv5", x, dim, (3, 3, 3), 2, False)
    return x.mean(axis=(2, 3))


def instance_norm(
    x: Float[Array, "B T H W c"],
    mean: Float[Array, "B T c"],
    variance: Float[Array, "B T c"],
    valid: Array | None = None,
) -> Float[Array, "B T H W c"]:
    """InstanceNorm3d without scale or shift, from the moments of each frame, over the valid frames of a clip.

    Statistics are float32. The variance is that within frames plus that of the frames' means.
    """
    clip_mean = _over_frames(mean, valid)
    clip_variance = _over_frames(variance + jnp.square(mean - clip_mean), valid)
    gain = jax.lax.rsqrt(clip_variance + INSTANCE_NORM_EPSILON)
    return ((x.astype(jnp.float32) - clip_mean[:, :, None, None]) * gain[:, :, None, None]).astype(x.dtype)


def resize_nearest(x: Float[Array, "B T H W c"], size: int) -> Float[Array, "B T size size c"]:
    """PyTorch's nearest neighbour: source index floor(i * in / out)."""
    height, width = x.shape[2:4]
    if (height, width) == (size, size):
        return x
    x = jnp.take(x, jnp.arange(size) * height // size, axis=2)
    return jnp.take(x, jnp.arange(size) * width // size, axis=3)


def _over_frames(x: Float[Array, "B T c"], valid: Array | None) -> Float[Array, "B 1 c"]:
    if valid is None:
        return x.mean(axis=1, keepdims=True)
    return jnp.where(valid[..., None], x, 0).sum(axis=1, keepdims=True) / valid.sum(axis=1)[:, None, None]


def _hide(x: Array, valid: Array | None) -> Array:
    return x if valid is None else jnp.where(valid[:, :, None, None, None], x, 0)


def _overlapping(x: Float[Array, "B T H W c"], size: int, margin: int) -> Float[Array, "n B t H W c"]:
    """A clip in chunks of `size` frames, each with `margin` more on both sides; zeros stand around the clip."""
    frames = x.shape[1]
    count = -(-frames // size)
    x = jnp.pad(x, [(0, 0), (margin, count * size - frames + margin), (0, 0), (0, 0), (0, 0)])
    return jnp.stack([x[:, start : start + size + 2 * margin] for start in range(0, count * size, size)])


def _joined(chunks: Float[Array, "n B t ..."]) -> Float[Array, "B T ..."]:
    count, batch, size = chunks.shape[:3]
    return jnp.moveaxis(chunks, 0, 1).reshape(batch, count * size, *chunks.shape[3:])
