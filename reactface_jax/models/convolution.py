"""3-D convolution in the form that is fastest on each backend.

XLA's CPU backend runs 3-D convolutions badly, and their gradients worse (docs/performance.md). There the kernel's time
taps become 2-D convolutions: folded into the channels when these are few, summed tap by tap otherwise; and where the
stride is 2 the input's gradient is taken through blocks of 2x2 pixels, a convolution without holes. GPUs and TPUs keep
the native form. All compute the same sum; `tests/parity/test_blocks.py` holds them against each other.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_FEW_CHANNELS = 4  # up to here taps are folded into the channels


def conv3d(
    x: Float[Array, "B T H W c"], kernel: Float[Array, "t h w c d"], *, stride: int
) -> Float[Array, "B T H2 W2 d"]:
    """Convolution without bias: stride 1 in time and `stride` in space; zeros pad k // 2 on every side."""
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _by_taps(x, kernel, stride),
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _by_taps(x: Array, kernel: Array, stride: int) -> Array:
    form = folded if x.shape[-1] <= _FEW_CHANNELS else summed
    return form(x, kernel, stride)


def _by_taps_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _by_taps(x, kernel, stride), (x, kernel)


def _by_taps_backward(stride: int, inputs: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = inputs
    form = folded if x.shape[-1] <= _FEW_CHANNELS else summed
    (kernel_gradient,) = jax.vjp(lambda kernel: form(x, kernel, stride), kernel)[1](cotangent)
    through = in_blocks if stride == 2 else functools.partial(summed, stride=stride)
    (input_gradient,) = jax.vjp(lambda x: through(x, kernel), x)[1](cotangent)
    return input_gradient, kernel_gradient


_by_taps.defvjp(_by_taps_forward, _by_taps_backward)


def folded(x: Array, kernel: Array, stride: int) -> Array:
    """One 2-D convolution over frames whose channels hold their neighbours in time, padded to a multiple of 8."""
    taps, height, width, channels, _ = kernel.shape
    windows = _windows(x, taps)
    stacked = jnp.concatenate(windows, axis=-1)  # B T H W (t c)
    folded_kernel = jnp.moveaxis(kernel, 0, 2).reshape(height, width, taps * channels, -1)
    spare = -taps * channels % 8
    stacked = jnp.pad(stacked, [(0, 0)] * 4 + [(0, spare)])
    folded_kernel = jnp.pad(folded_kernel, [(0, 0), (0, 0), (0, spare), (0, 0)])
    return _conv_frames(stacked, folded_kernel, stride, height // 2)


def summed(x: Array, kernel: Array, stride: int) -> Array:
    """The sum of one 2-D convolution per time tap."""
    return _sum_of_taps(x, kernel, stride, kernel.shape[1] // 2)


def in_blocks(x: Array, kernel: Array) -> Array:
    """Stride 2 as stride 1 over blocks of 2x2 pixels, whose 4 c channels meet 2x2 blocks of an even-sized kernel."""
    taps, size, width, channels, _ = kernel.shape
    assert size == width, "square kernels only"
    half, blocks = size // 2, (size + 1) // 2
    batch, frames = x.shape[:2]
    heights = [(length - 1) // 2 + blocks for length in x.shape[2:4]]  # in blocks, padding included
    # The kernel grows by a row and a column of zeros in front, so the padding in front does too.
    margins = [(half + 1, 2 * n - length - half - 1) for n, length in zip(heights, x.shape[2:4], strict=True)]
    x = jnp.pad(x, [(0, 0), (0, 0), *margins, (0, 0)])
    x = x.reshape(batch, frames, heights[0], 2, heights[1], 2, channels).swapaxes(3, 4)
    x = x.reshape(batch, frames, *heights, 4 * channels)
    kernel = jnp.pad(kernel, [(0, 0), (1, 0), (1, 0), (0, 0), (0, 0)])
    kernel = kernel.reshape(taps, blocks, 2, blocks, 2, channels, -1).swapaxes(2, 3)
    kernel = kernel.reshape(taps, blocks, blocks, 4 * channels, -1)
    return _sum_of_taps(x, kernel, 1, 0)


def _sum_of_taps(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    windows = _windows(x, kernel.shape[0])
    return sum(
        (_conv_frames(window, tap, stride, padding) for window, tap in zip(windows[1:], kernel[1:], strict=True)),
        start=_conv_frames(windows[0], kernel[0], stride, padding),
    )


def _windows(x: Array, taps: int) -> list[Array]:
    """The clip as each time tap sees it: shifted by -taps // 2 ... taps // 2 frames, zeros moving in."""
    half = taps // 2
    padded = jnp.pad(x, [(0, 0), (half, half)] + [(0, 0)] * 3)
    return [padded[:, tap : tap + x.shape[1]] for tap in range(taps)]


def _conv_frames(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    batch, frames = x.shape[:2]
    y = jax.lax.conv_general_dilated(
        x.reshape(batch * frames, *x.shape[2:]),
        kernel,
        window_strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(batch, frames, *y.shape[1:])
