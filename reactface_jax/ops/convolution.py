"""3-D convolution in the form that is fastest on each backend.

XLA's CPU backend is slow at 3-D convolutions, and slower at their gradients (docs/performance.md). On a CPU a 3-D
convolution becomes a sum of 2-D ones: by Winograd's filtering (`winograd.py`), which needs fewer of them than there are
taps and frames; with few frames or in bfloat16 one for each time tap, or one in all with the taps folded into the
channels. Where the stride is 2, the input's gradient is a convolution over blocks of 2x2 pixels, which needs no zeros
between pixels. GPUs and TPUs keep the native form, but for pictures: 3 channels would leave a TPU's matrix unit nearly
empty, so the taps are folded into the channels (13 times fewer cycles by the compiler's estimate, 26 in the gradient:
docs/scaling.md), and GPUs' libraries read the folded form without transposing it. On TPUs a convolution of stride 2
over up to 32 channels is one over blocks throughout: four pixels' channels fill the matrix unit's 128 columns, and no
gradient needs zeros between pixels (a ninth of the cycles for the input's). All forms compute the same sum;
`tests/parity/test_blocks.py` compares them.

Every form pads time by `margin` zero frames on both sides: k // 2 by default, 0 in the causal model, whose input
already begins with the frames before.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.ops.kernel_gradient import kernel_gradient
from reactface_jax.ops.winograd import filtered, filtered_kernel_gradient

_FEW_CHANNELS = 4  # up to here taps are folded into the channels
_TPU_COLUMNS = 128  # of the matrix unit


def conv3d(
    x: Float[Array, "B T H W c"],
    kernel: Float[Array, "t h w c d"],
    *,
    stride: int,
    margin: int | None = None,
    tile: int = 4,
) -> Float[Array, "B T2 H2 W2 d"]:
    """Convolution without bias: stride 1 in time and `stride` in space; zeros pad k // 2 on every side.

    Args:
      x: clips.
      kernel: k = t taps in time.
      stride: 1 or 2, in height and width.
      margin: zero frames before and after the clip, k // 2 if None. With 0, the result's first frame is computed from
        the input's first k frames.
      tile: frames of the result that are computed together on a CPU: 1, 2 or 4. They share their rounding: a change in
        one input frame can change the last digits of every frame of a tile that depends on it.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _by_frames(x, kernel, stride, margin, tile),
        tpu=lambda x, kernel: on_tpu(x, kernel, stride=stride, margin=margin),
        default=lambda x, kernel: on_gpu(x, kernel, stride=stride, margin=margin),
    )


def on_gpu(x: Array, kernel: Array, *, stride: int, margin: int | None = None) -> Array:
    """`conv3d` in the form for GPUs."""
    form = folded if x.shape[-1] <= _FEW_CHANNELS else native
    return form(x, kernel, stride, margin)


def on_tpu(x: Array, kernel: Array, *, stride: int, margin: int | None = None) -> Array:
    """`conv3d` in the form for TPUs."""
    if stride == 2 and _FEW_CHANNELS < x.shape[-1] <= _TPU_COLUMNS // 4:
        return blocked(x, kernel, margin)
    return on_gpu(x, kernel, stride=stride, margin=margin)


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


def blocked(x: Array, kernel: Array, margin: int | None = None) -> Array:
    """One 3-D convolution of stride 1 over blocks of 2x2 pixels, which equals one of stride 2 over pixels."""
    time = len(kernel) // 2 if margin is None else margin
    return jax.lax.conv_general_dilated(
        in_blocks(x, kernel.shape[1]),
        kernel_in_blocks(kernel),
        window_strides=(1, 1, 1),
        padding=[(time, time), (0, 0), (0, 0)],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _by_frames(x: Array, kernel: Array, stride: int, margin: int | None, tile: int) -> Array:
    tile = _tile(x, kernel, margin, tile)
    if tile == 1 and x.shape[-1] <= _FEW_CHANNELS:
        return folded(x, kernel, stride, margin)
    return tiled(x, kernel, stride, margin, tile)


def _by_frames_forward(
    x: Array, kernel: Array, stride: int, margin: int | None, tile: int
) -> tuple[Array, tuple[Array, Array]]:
    return _by_frames(x, kernel, stride, margin, tile), (x, kernel)


def _by_frames_backward(
    stride: int, margin: int | None, tile: int, inputs: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    x, kernel = inputs
    tile = _tile(x, kernel, margin, tile)
    if tile == 1:
        gradient = kernel_gradient(x, cotangent, kernel.shape, stride, margin)
    else:
        correlate = functools.partial(kernel_gradient, shape=(1, *kernel.shape[1:]), stride=stride, margin=0)
        gradient = filtered_kernel_gradient(_padded(x, kernel, margin), cotangent, len(kernel), tile, correlate)
    return input_gradient(cotangent, x, kernel, stride, margin, tile), gradient


_by_frames.defvjp(_by_frames_forward, _by_frames_backward)


def _tile(x: Array, kernel: Array, margin: int | None, most: int) -> int:
    """Frames of the result to compute together, at most `most`; 1 where filtering gains little or is inexact."""
    frames = x.shape[1] + 2 * (len(kernel) // 2 if margin is None else margin) - len(kernel) + 1
    tile = min(most, 4 if frames > 2 else 2)
    if frames < 2 or jnp.finfo(x.dtype).bits < 32 or (len(kernel) == 1 and tile == 2):
        return 1
    return tile


def tiled(x: Array, kernel: Array, stride: int, margin: int | None = None, tile: int = 4) -> Array:
    """A sum of 2-D convolutions over the time taps, by Winograd's filtering if `tile` is 2 or 4.

    Args:
      x: clips.
      kernel: as in `conv3d`.
      stride: as in `conv3d`.
      margin: as in `conv3d`.
      tile: as in `conv3d`.
    """
    convolve = functools.partial(_conv_frames, stride=stride, padding=kernel.shape[1] // 2)
    return filtered(_padded(x, kernel, margin), kernel, tile, convolve)


def folded(x: Array, kernel: Array, stride: int, margin: int | None = None) -> Array:
    """One 2-D convolution: each frame's channels hold the k frames that it sees, padded to a multiple of 8."""
    taps, height, width, channels, _ = kernel.shape
    x = _padded(x, kernel, margin)
    frames = x.shape[1] - taps + 1
    stacked = jnp.concatenate([x[:, tap : tap + frames] for tap in range(taps)], axis=-1)  # B T H W (t c)
    folded_kernel = jnp.moveaxis(kernel, 0, 2).reshape(height, width, taps * channels, -1)
    spare = -taps * channels % 8
    stacked = jnp.pad(stacked, [(0, 0)] * 4 + [(0, spare)])
    folded_kernel = jnp.pad(folded_kernel, [(0, 0), (0, 0), (0, spare), (0, 0)])
    return _conv_frames(stacked, folded_kernel, stride, height // 2)


def input_gradient(y: Array, x: Array, kernel: Array, stride: int, margin: int | None, tile: int) -> Array:
    """The input's gradient: a convolution over time with the taps in reverse order.

    Args:
      y: the result's gradient.
      x: the input, of which only the shape is used.
      kernel: as in `conv3d`, as are stride and margin.
      stride: see `kernel`.
      margin: see `kernel`.
      tile: frames of the gradient that are computed together.
    """
    taps, size = kernel.shape[:2]
    margin = taps - 1 - (taps // 2 if margin is None else margin)
    arrange, padding = (lambda x: x), size // 2
    if stride == 2:  # pixels directly would need zeros between those of `y`
        arrange, kernel, stride, padding = functools.partial(in_blocks, size=size), kernel_in_blocks(kernel), 1, 0
    height, width, channels = jax.eval_shape(arrange, x).shape[2:]

    def convolve(y: Array, tap: Array) -> Array:
        like = jax.ShapeDtypeStruct((*y.shape[:2], height, width, channels), y.dtype)
        (gradient,) = jax.linear_transpose(lambda x: _conv_frames(x, tap, stride, padding), like)(y)
        return gradient

    y = jnp.pad(y, [(0, 0), (margin, margin)] + [(0, 0)] * 3)
    return jax.linear_transpose(arrange, x)(filtered(y, kernel[::-1], tile, convolve))[0]


def in_blocks(x: Float[Array, "B T H W c"], size: int) -> Float[Array, "B T h w b"]:
    """Blocks of 2x2 pixels as pixels of 4 c channels, padded for a kernel of size x size and stride 2."""
    half, blocks = size // 2, (size + 1) // 2
    batch, frames, *space, channels = x.shape
    heights = [(length - 1) // 2 + blocks for length in space]  # in blocks, padding included
    # The kernel grows by a row and a column of zeros in front, so the padding in front does too.
    margins = [(half + 1, 2 * n - length - half - 1) for n, length in zip(heights, space, strict=True)]
    x = jnp.pad(x, [(0, 0), (0, 0), *margins, (0, 0)])
    x = x.reshape(batch, frames, heights[0], 2, heights[1], 2, channels).swapaxes(3, 4)
    return x.reshape(batch, frames, *heights, 4 * channels)


def kernel_in_blocks(kernel: Float[Array, "t h w c d"]) -> Float[Array, "t i j b d"]:
    """The kernel over blocks with stride 1 that equals a square one of odd size over pixels with stride 2."""
    taps, size, width, channels, _ = kernel.shape
    assert size == width, "square kernels only"
    blocks = (size + 1) // 2
    kernel = jnp.pad(kernel, [(0, 0), (1, 0), (1, 0), (0, 0), (0, 0)])
    kernel = kernel.reshape(taps, blocks, 2, blocks, 2, channels, -1).swapaxes(2, 3)
    return kernel.reshape(taps, blocks, blocks, 4 * channels, -1)


def _padded(x: Array, kernel: Array, margin: int | None) -> Array:
    """Frames of zeros before and after."""
    margin = len(kernel) // 2 if margin is None else margin
    return jnp.pad(x, [(0, 0), (margin, margin)] + [(0, 0)] * 3)


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
