"""I3D, the video network of the Fréchet video distance: Inception-v1 with 3-D kernels, RGB, 400 classes of Kinetics.

Carreira & Zisserman, "Quo vadis, action recognition?", CVPR 2017, in evaluation mode only. Names are those of the
PyTorch checkpoint (rgb_imagenet.pt).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from reactface_jax.ops.convolution import conv3d

NUM_CLASSES = 400
SIZE = 224

MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Channels of b0, b1a, b1b, b2a, b2b, b3b."""


class I3DOutput(NamedTuple):
    """Both layers that the distance is taken in; T' is T / 8 - 1."""

    logits: Float[Array, "B 400 T2"]
    pooled: Float[Array, "B 1024 T2"]


class Norm(nn.Module):
    """Batch norm with its running statistics as parameters."""

    @nn.compact
    def __call__(self, x: Float[Array, "*A C"]) -> Float[Array, "*A C"]:
        shape = (x.shape[-1],)
        scale, variance = (self.param(name, nn.initializers.ones, shape, jnp.float32) for name in ("scale", "variance"))
        bias, mean = (self.param(name, nn.initializers.zeros, shape, jnp.float32) for name in ("bias", "mean"))
        gain = scale * lax.rsqrt(variance + 1e-3)
        shift = bias - mean * gain
        expand = (1,) * (x.ndim - 1)
        return x * gain.reshape(*expand, -1) + shift.reshape(*expand, -1)


class Unit(nn.Module):
    """Convolution, norm, ReLU. Pads as TensorFlow's SAME: by the input's size, the larger half at the end."""

    features: int
    kernel: int = 1
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B T2 H2 W2 D"]:
        kernel, strides = (self.kernel,) * 3, (self.stride,) * 3
        x = nn.Conv(
            self.features,
            kernel,
            strides,
            padding="SAME",
            use_bias=False,
            name="conv3d",
            conv_general_dilated=_convolve,
        )(x)
        return nn.relu(Norm(name="bn")(x))


def _convolve(x: Array, kernel: Array, strides: Sequence[int], padding: str, **more: Any) -> Array:
    """On CPUs matrix products and 2-D convolutions (ops/convolution.py): 3-D convolutions are slow there."""

    def native(x: Array, kernel: Array) -> Array:
        y: Array = lax.conv_general_dilated(x, kernel, strides, padding, **more)
        return y

    def by_frames(x: Array, kernel: Array) -> Array:
        if kernel.shape[0] == 1:
            return x @ kernel[0, 0, 0]
        if strides[0] == 1:
            return conv3d(x, kernel, stride=1)
        return _folded(x, kernel, strides[0])

    return lax.platform_dependent(x, kernel, cpu=by_frames, default=native)


def _folded(
    x: Float[Array, "B T H W c"], kernel: Float[Array, "t h w c d"], stride: int
) -> Float[Array, "B T2 H2 W2 d"]:
    """One 2-D convolution of frames whose channels hold what the kernel sees in time."""
    batch, frames, height, width, channels = x.shape
    taps, size, _, _, features = kernel.shape
    (margins,) = lax.padtype_to_pads((frames,), (taps,), (stride,), "SAME")
    x = jnp.pad(x, [(0, 0), margins] + [(0, 0)] * 3)
    last = x.shape[1] - taps + 1
    x = jnp.concatenate([x[:, tap : tap + last : stride] for tap in range(taps)], axis=-1)
    y = lax.conv_general_dilated(
        x.reshape(-1, height, width, taps * channels),
        jnp.moveaxis(kernel, 0, 2).reshape(size, size, taps * channels, features),
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(batch, -1, *y.shape[1:])


class Mixed(nn.Module):
    """Four branches, concatenated."""

    channels: Sequence[int]

    @nn.compact
    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B T H W D"]:
        b0, b1a, b1b, b2a, b2b, b3b = self.channels
        return jnp.concatenate(
            [
                Unit(b0, name="b0")(x),
                Unit(b1b, 3, name="b1b")(Unit(b1a, name="b1a")(x)),
                Unit(b2b, 3, name="b2b")(Unit(b2a, name="b2a")(x)),
                Unit(b3b, name="b3b")(_max_pool(x, (3, 3, 3), (1, 1, 1))),
            ],
            axis=-1,
        )


class I3D(nn.Module):
    """The whole network."""

    @nn.compact
    def __call__(self, video: Float[Array, "B T 224 224 3"]) -> I3DOutput:
        """Video in [-1, 1], of at least 16 frames (T' >= 1)."""
        x = Unit(64, 7, 2, name="Conv3d_1a_7x7")(video)
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))
        x = Unit(192, 3, name="Conv3d_2c_3x3")(Unit(64, name="Conv3d_2b_1x1")(x))
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))
        for name, channels in MIXED.items():
            if name == "Mixed_4b":
                x = _max_pool(x, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                x = _max_pool(x, (2, 2, 2), (2, 2, 2))
            x = Mixed(channels, name=name)(x)
        x = nn.avg_pool(x, (2, 7, 7))
        logits = nn.Conv(NUM_CLASSES, (1, 1, 1), name="logits")(x)
        return I3DOutput(*(y.mean((2, 3)).swapaxes(1, 2) for y in (logits, x)))


def _max_pool(x: Array, window: Sequence[int], strides: Sequence[int]) -> Array:
    """Pads with -inf where the original pads with zeros: the same, since the input is the result of a ReLU."""
    pooled: Array = nn.max_pool(x, tuple(window), tuple(strides), padding="SAME")
    return pooled
