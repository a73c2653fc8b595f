"""3-D convolution in the form that is fastest on each backend.

XLA's CPU backend runs 3-D convolutions badly, and their gradients worse (docs/performance.md). There the kernel's time
taps become 2-D convolutions: folded into the channels when these are few, summed tap by tap otherwise; and where the
stride is 2 the input's gradient is taken through blocks of 2x2 pixels, a convolution without holes. GPUs and TPUs keep
the native form. All compute the same sum; `tests/parity/test_blocks.py` holds them against each other.

Every form pads time by `margin` zero frames on both sides: k // 2 by default; none where a clip's frames come with
those before them, as in the causal model.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.models.kernel_gradient import kernel_gradient

_FEW_CHANNELS = 4  # up to here taps are folded into the channels


def conv3d(
    x: Float[Array, "B T H W c"], kernel: Float[Array, "t h w c d"], *, stride: int, margin: int | None = None
) -> Float[Array, "B T2 H2 W2 d"]:
    """Convolution without bias: stride 1 in time and `stride` in space; zeros pad k // 2 on every side.

    With `margin=0` time is not padded, and the first frame of the result is the one that the first k frames make.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _by_taps(x, kernel, stride, margin),
        default=lambda x, kernel: native(x, kernel, stride, margin),
    )


def native(x: Array, kernel: Array, stride: int, margin: int | None = None) -> Array:
    """One 3-D convolution."""
    time, *space = (size // 2 for size in kernel.shape[:3])
    time = time if margin is None else margin
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, stride, stride),
        padding=[(size, size) for size in (time, *space)],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _by_taps(x: Array, kernel: Array, stride: int, margin: int | None) -> Array:
    form = folded if x.shape[-1] <= _FEW_CHANNELS else summed
    return form(x, kernel, stride, margin)


def _by_taps_forward(x: Array, kernel: Array, stride: int, margin: int | None) -> tuple[Array, tuple[Array, Array]]:
    return _by_taps(x, kernel, stride, margin), (x, kernel)


def _by_taps_backward(
    stride: int, margin: int | None, inputs: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    x, kernel = inputs
    through = in_blocks if stride == 2 else functools.partial(summed, stride=stride)
    (input_gradient,) = jax.vjp(lambda x: through(x, kernel, margin=margin), x)[1](cotangent)
    return input_gradient, kernel_gradient(x, cotangent, kernel.shape, stride, margin)


_by_taps.defvjp(_by_taps_forward, _by_taps_backward)


def folded(x: Array, kernel: Array, stride: int, margin: int | None = None) -> Array:
    """One 2-D convolution over frames whose channels hold their neighbours in time, padded to a multiple of 8."""
    taps, height, width, channels, _ = kernel.shape
    windows = _windows(x, taps, margin)
    stacked = jnp.concatenate(windows, axis=-1)  # B T H W (t c)
    folded_kernel = jnp.moveaxis(kernel, 0, 2).reshape(height, width, taps * channels, -1)
    spare = -taps * channels % 8
    stacked = jnp.pad(stacked, [(0, 0)] * 4 + [(0, spare)])
    folded_kernel = jnp.pad(folded_kernel, [(0, 0), (0, 0), (0, spare), (0, 0)])
    return _conv_frames(stacked, folded_kernel, stride, height // 2)


def summed(x: Array, kernel: Array, stride: int, margin: int | None = None) -> Array:
    """The sum of one 2-D convolution per time tap."""
    return _sum_of_taps(x, kernel, stride, kernel.shape[1] // 2, margin)


def in_blocks(x: Array, kernel: Array, margin: int | None = None) -> Array:
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
    return _sum_of_taps(x, kernel, 1, 0, margin)


def _sum_of_taps(x: Array, kernel: Array, stride: int, padding: int, margin: int | None) -> Array:
    windows = _windows(x, kernel.shape[0], margin)
    return sum(
        (_conv_frames(window, tap, stride, padding) for window, tap in zip(windows[1:], kernel[1:], strict=True)),
        start=_conv_frames(windows[0], kernel[0], stride, padding),
    )


def _windows(x: Array, taps: int, margin: int | None) -> list[Array]:
    """The clip as each time tap sees it: by default shifted by -taps // 2 ... taps // 2 frames, zeros moving in."""
    margin = taps // 2 if margin is None else margin
    padded = jnp.pad(x, [(0, 0), (margin, margin)] + [(0, 0)] * 3)
    frames = padded.shape[1] - taps + 1
    return [padded[:, tap : tap + frames] for tap in range(taps)]


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
