"""The portrait renderer's training losses, and the figures that its pictures are judged by.

The paper's perceptual and style losses compare features of VGG-19, whose weights can't be had offline. Features of a
convolution network with fixed random filters take their place: they too distinguish a shifted edge from a blurred one,
but hold nothing about faces.
"""

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_WIDTHS = (16, 32, 64)
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def features(pictures: Float[Array, "B H W 3"]) -> list[Float[Array, "B h w C"]]:
    """Maps of three scales, each half the size of the one before; filters have unit gain and never change."""
    maps, channels, x = [], pictures.shape[-1], pictures
    for i, width in enumerate(_WIDTHS):
        kernel = jax.random.normal(jax.random.key(i), (3, 3, channels, width)) * (2 / (9 * channels)) ** 0.5
        x = jax.nn.relu(jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT))
        maps.append(x)
        channels = width
    return maps


def perceptual(pictures: Float[Array, "B H W 3"], targets: Float[Array, "B H W 3"]) -> Float[Array, ""]:
    """Mean absolute difference of the features, summed over scales."""
    pairs = zip(features(pictures), features(targets), strict=True)
    return jnp.sum(jnp.stack([jnp.abs(a - b).mean() for a, b in pairs]))


def style(pictures: Float[Array, "B H W 3"], targets: Float[Array, "B H W 3"]) -> Float[Array, ""]:
    """Mean absolute difference of the features' Gram matrices, summed over scales."""

    def gram(x: Array) -> Array:
        return jnp.einsum("bhwc,bhwd->bcd", x, x) / (x.shape[1] * x.shape[2] * x.shape[3])

    pairs = zip(features(pictures), features(targets), strict=True)
    return jnp.sum(jnp.stack([jnp.abs(gram(a) - gram(b)).mean() for a, b in pairs]))


def psnr(pictures: Float[Array, "B H W 3"], targets: Float[Array, "B H W 3"]) -> Float[Array, " B"]:
    """Peak signal-to-noise ratio of pictures in [-1, 1], dB; 106 of equal ones, for which dm_pix.psnr is infinite."""
    error = jnp.square(pictures - targets).mean((1, 2, 3))
    return 10 * jnp.log10(4 / jnp.maximum(error, 1e-10))


def ssim(pictures: Float[Array, "B H W 3"], targets: Float[Array, "B H W 3"]) -> Float[Array, " B"]:
    """Structural similarity (Wang et al., 2004) of pictures in [-1, 1], mean over pixels and colours.

    Gaussian window of 11 pixels and standard deviation 1.5.
    """
    similarity: Float[Array, " B"] = dm_pix.ssim((pictures + 1) / 2, (targets + 1) / 2)
    return similarity
