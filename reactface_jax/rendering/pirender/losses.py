"""What the portrait renderer is trained on, and how its pictures are judged.

The paper's perceptual and style losses compare features of VGG-19, whose weights can't be had offline. Features of a
convolution network with fixed random filters stand in: they too tell a shifted edge from a blurred one, though they
know nothing of faces.
"""

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
    """Peak signal-to-noise ratio of pictures in [-1, 1], dB."""
    error = jnp.square(pictures - targets).mean((1, 2, 3))
    return 10 * jnp.log10(4 / jnp.maximum(error, 1e-10))


def ssim(pictures: Float[Array, "B H W 3"], targets: Float[Array, "B H W 3"]) -> Float[Array, " B"]:
    """Structural similarity (Wang et al., 2004): Gaussian window of 11 pixels and 1.5, mean over pixels and colours."""
    taps = jnp.exp(-jnp.square(jnp.arange(11.0) - 5) / (2 * 1.5**2))
    taps /= taps.sum()

    def blur(x: Array) -> Array:
        for shape in ((11, 1, 1, 1), (1, 11, 1, 1)):
            kernel = jnp.tile(taps.reshape(shape), (1, 1, 1, 3))
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "VALID", dimension_numbers=_LAYOUT, feature_group_count=3
            )
        return x

    a, b = (pictures + 1) / 2, (targets + 1) / 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return value.mean((1, 2, 3))
