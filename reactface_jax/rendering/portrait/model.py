"""PIRender for the 58 coefficients: one network describes a frame, one warps the portrait by a flow, one repaints it.

Ren et al., "PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering", ICCV 2021.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from reactface_jax.ops.linear import kernel_initializer
from reactface_jax.rendering.portrait.blocks import (
    AdaIN,
    ConvNorm,
    MapNorm,
    PairConvNorm,
    TransposedConv,
    UpConvNorm,
    activate,
    convolution,
    deformation,
    sample,
)

WINDOW = 27
"""Frames of coefficients that one picture depends on: t - 13 … t + 13."""
ORIGINAL_CHANNELS = 73
"""Coefficients of the paper's model (another face model's, and the crop); ours are mapped to as many."""
DESCRIPTOR = 256
ENCODER_CHANNELS = (64, 128, 256, 256, 256)
DECODER_CHANNELS = {4: 256, 3: 256, 2: 128}  # in the order of computation
EDITING_CHANNELS = (128, 256, 256)
UP_CHANNELS = {2: 256, 1: 128, 0: 64}
RESIDUAL_BLOCKS = 2


class Rendering(NamedTuple):
    """The networks' results for a batch of frames."""

    descriptor: Float[Array, "B Z"]
    flow: Float[Array, "B h w 2"]
    """x and y in pixels of a map of a quarter of the picture's size."""
    warp: Float[Array, "B H W 3"]
    """The portrait moved by the flow."""
    image: Float[Array, "B H W 3"] | None
    """The picture in [-1, 1]; None if only the warp was asked for."""


class MappingNetwork(nn.Module):
    """A window of coefficients to a descriptor of one frame."""

    project: bool = True
    """Map the coefficients to 73 first, as the retrained model does; the original takes its 73 directly."""
    narrower: int = 1

    @nn.compact
    def __call__(self, windows: Float[Array, "B 27 C"]) -> Float[Array, "B Z"]:
        def convolve(features: int, kernel: int, name: str, dilation: int = 1) -> nn.Conv:
            initializer = kernel_initializer()
            return nn.Conv(
                features, (kernel,), padding="VALID", kernel_dilation=dilation, kernel_init=initializer, name=name
            )

        x = convolve(ORIGINAL_CHANNELS, 1, "pre")(windows) if self.project else windows
        descriptor = DESCRIPTOR // self.narrower
        x = convolve(descriptor, 7, "first")(x)
        for i in range(3):
            x = convolve(descriptor, 3, f"encoder{i}", dilation=3)(activate(x)) + x[:, 3:-3]
        return x.mean(1)


class DownBlock(nn.Module):
    """Halves a map: AdaIN, convolution of 4x4 with stride 2, AdaIN, convolution of 3x3."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "#B H W c"], descriptor: Float[Array, "B Z"]) -> Float[Array, "B h w C"]:
        x = activate(AdaIN(self.dtype, name="norm_0")(x, descriptor))
        x = convolution(self.features, 4, self.dtype, "conv_0", stride=2)(x)
        x = activate(AdaIN(self.dtype, name="norm_1")(x, descriptor))
        return convolution(self.features, 3, self.dtype, "conv_1")(x)


class UpBlock(nn.Module):
    """Doubles a map, with a shortcut."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"], descriptor: Float[Array, "B Z"]) -> Float[Array, "B H W C"]:
        def normed(name: str, y: Array) -> Array:
            return activate(AdaIN(self.dtype, name=name)(y, descriptor))

        y = convolution(self.features, 3, self.dtype, "conv_0")(normed("norm_0", x))
        y = TransposedConv(self.features, self.dtype, name="conv_1")(normed("norm_1", y))
        return TransposedConv(self.features, self.dtype, name="conv_s")(normed("norm_s", x)) + y


class WarpingNetwork(nn.Module):
    """Portrait and descriptors to a flow."""

    narrower: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, portrait: Float[Array, "P H W 3"], descriptor: Float[Array, "B Z"]) -> Float[Array, "B h w 2"]:
        x = convolution(32 // self.narrower, 7, self.dtype, "input_layer")(portrait.astype(self.dtype))
        maps = []
        for i, features in enumerate(ENCODER_CHANNELS):
            x = DownBlock(features // self.narrower, self.dtype, name=f"encoder{i}")(x, descriptor)
            maps.append(x)
        maps.pop()
        for i, features in DECODER_CHANNELS.items():
            x = UpBlock(features // self.narrower, self.dtype, name=f"decoder{i}")(x, descriptor)
            x = jnp.concatenate([x, maps.pop()], axis=-1)
        x = activate(MapNorm(self.dtype, name="flow_norm")(x))
        # Nearly zero at first, so that training starts from the portrait itself.
        return convolution(2, 7, self.dtype, "flow_conv", scale=1e-4)(x).astype(jnp.float32)


class ResidualBlock(nn.Module):
    """x + AdaIN(convolution(x)): the block as trained, whose other convolution has no effect (specification)."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], descriptor: Float[Array, "B Z"]) -> Float[Array, "B H W C"]:
        return x + AdaIN(self.dtype, name="norm")(convolution(x.shape[-1], 3, self.dtype, "conv")(x), descriptor)


class EditingNetwork(nn.Module):
    """Repaints a warped portrait, with the portrait itself as a second input."""

    narrower: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, portrait: Float[Array, "P H W 3"], warp: Float[Array, "B H W 3"], descriptor: Float[Array, "B Z"]
    ) -> Float[Array, "B H W 3"]:
        x = PairConvNorm(64 // self.narrower, dtype=self.dtype, name="first")(portrait, warp)
        maps = [x]
        for i, features in enumerate(EDITING_CHANNELS):
            x = nn.avg_pool(ConvNorm(features // self.narrower, dtype=self.dtype, name=f"down{i}")(x), (2, 2), (2, 2))
            maps.append(x)
        x = maps.pop()
        for i, features in UP_CHANNELS.items():
            for j in range(RESIDUAL_BLOCKS):
                x = ResidualBlock(self.dtype, name=f"res{i}_{j}")(x, descriptor)
            x = UpConvNorm(features // self.narrower, self.dtype, name=f"up{i}")(x)
            x += ConvNorm(features // self.narrower, dtype=self.dtype, name=f"jump{i}")(maps.pop())
        return nn.tanh(convolution(3, 7, self.dtype, "final")(x).astype(jnp.float32))


class PIRender(nn.Module):
    """The whole renderer. Height and width must be multiples of 32."""

    project: bool = True
    narrower: int = 1
    """All numbers of channels are divided by this: 8 or 16 for a small renderer that a CPU can train."""
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, portrait: Float[Array, "P H W 3"], windows: Float[Array, "B 27 C"], *, warp_only: bool = False
    ) -> Rendering:
        """Draws a batch of frames.

        Args:
          portrait: in [-1, 1]; one for all frames, P = 1, or one a frame, P = B.
          windows: raw coefficients (mean_face added) of the 27 frames around each.
          warp_only: leave out the editing network, as the first part of training does.
        """
        descriptor = MappingNetwork(self.project, self.narrower, name="mapping")(windows)
        flow = WarpingNetwork(self.narrower, self.dtype, name="warping")(portrait, descriptor)
        _, height, width, _ = portrait.shape
        warp = sample(portrait, deformation(flow, (height, width)))
        if warp_only:
            return Rendering(descriptor, flow, warp, None)
        image = EditingNetwork(self.narrower, self.dtype, name="editing")(portrait, warp, descriptor)
        return Rendering(descriptor, flow, warp, image)
