"""3-D convolution in the form that is fastest on each backend.

XLA's CPU backend runs 3-D convolutions badly, and their gradients worse (docs/performance.md). There the kernel's time
taps become 2-D convolutions: folded into the channels when these are few, summed tap by tap otherwise. GPUs and TPUs
keep the native form. All compute the same sum; `tests/parity/test_blocks.py` holds them against each other.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_FEW_CHANNELS = 4  # up to here taps are folded into the channels


def conv3d(
    x: Float[Array, "B T H W c"], kernel: Float[Array, "t h w c d"], *, stride: int
) -> Float[Array, "B T H2 W2 d"]:
    """Convolution without bias: stride 1 in time and `stride` in space; zeros pad k // 2 on every side."""
    by_taps = folded if x.shape[-1] <= _FEW_CHANNELS else summed
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: by_taps(x, kernel, stride),
        default=lambda x, kernel: native(x, kernel, stride),
    )


def native(x: Array, kernel: Array, stride: int) -> Array:
    """One 3-D convolution."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, stride, stride),
        padding=[(size // 2, size // 2) for size in kernel.shape[:3]],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


def folded(x: Array, kernel: Array, stride: int) -> Array:
    """One 2-D convolution over frames whose channels hold their neighbours in time, padded to a multiple of 8."""
    taps, height, width, channels, _ = kernel.shape
    windows = _windows(x, taps)
    stacked = jnp.concatenate(windows, axis=-1)  # B T H W (t c)
    folded_kernel = jnp.moveaxis(kernel, 0, 2).reshape(height, width, taps * channels, -1)
    spare = -taps * channels % 8
    stacked = jnp.pad(stacked, [(0, 0)] * 4 + [(0, spare)])
    folded_kernel = jnp.pad(folded_kernel, [(0, 0), (0, 0), (0, spare), (0, 0)])
    return _conv_frames(stacked, folded_kernel, stride)


def summed(x: Array, kernel: Array, stride: int) -> Array:
    """The sum of one 2-D convolution per time tap."""
    windows = _windows(x, kernel.shape[0])
    return sum(
        (_conv_frames(window, tap, stride) for window, tap in zip(windows[1:], kernel[1:], strict=True)),
        start=_conv_frames(windows[0], kernel[0], stride),
    )


def _windows(x: Array, taps: int) -> list[Array]:
    """The clip as each time tap sees it: shifted by -taps // 2 ... taps // 2 frames, zeros moving in."""
    half = taps // 2
    padded = jnp.pad(x, [(0, 0), (half, half)] + [(0, 0)] * 3)
    return [padded[:, tap : tap + x.shape[1]] for tap in range(taps)]


def _conv_frames(x: Array, kernel: Array, stride: int) -> Array:
    batch, frames = x.shape[:2]
    y = jax.lax.conv_general_dilated(
        x.reshape(batch * frames, *x.shape[2:]),
        kernel,
        window_strides=(stride, stride),
        padding=[(size // 2, size // 2) for size in kernel.shape[:2]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(batch, frames, *y.shape[1:])
