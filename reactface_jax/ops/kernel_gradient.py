"""The gradient of a convolution's kernel as large matrix products: on a CPU XLA's own form is three times slower.

    gradient[t, h, w, c, d] = sum over frames i and pixels (j, k) of  x[i + t, s j + h, s k + w, c] * y[i, j, k, d]

`x` is padded, `s` the stride. One product for each tap would have only as many rows as `x` has channels. Here the left
matrix has a column for each (w, c) of a kernel's row, and of several rows where c is small; the right one has a column
for each (t, d), where `y` is shifted in time in place of `x`. Clips are summed last, so that a batch that is sharded
over devices needs one reduction.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_COLUMNS = 64  # of the left matrix at least, if the kernel has as many
_ROWS = 2**15  # of both matrices; more are taken in turns, which bounds the memory
_FEWEST_FRAMES = 16  # of a turn, since each turn also reads the taps - 1 frames around it


def kernel_gradient(
    x: Float[Array, "B T H W c"],
    y: Float[Array, "B T2 H2 W2 d"],
    shape: tuple[int, ...],
    stride: int,
    margin: int | None = None,
) -> Float[Array, "t h w c d"]:
    """The kernel's gradient.

    Args:
      x: the convolution's input.
      y: the result's gradient.
      shape: of the kernel.
      stride: as in `conv3d`.
      margin: as in `conv3d`.
    """
    taps, height, width, channels, features = shape
    margin = taps // 2 if margin is None else margin
    batch, frames, rows, columns = y.shape[:4]
    most = max(_FEWEST_FRAMES, _ROWS // (batch * rows * columns))
    turns = -(-frames // most)
    size = -(-frames // turns)
    late = turns * size - frames  # frames of zeros that fill the last turn
    x = _padded(x, (height, width), (rows, columns), stride, (margin, margin + late))
    y = jnp.pad(y, [(0, 0), (0, late)] + [(0, 0)] * 3)

    def turn(total: Array, start: Array) -> tuple[Array, None]:
        seen = jax.lax.dynamic_slice_in_dim(x, start, size + taps - 1, axis=1)
        return total + _products(seen, jax.lax.dynamic_slice_in_dim(y, start, size, axis=1), shape, stride), None

    if turns == 1:
        total = _products(x, y, shape, stride)
    else:
        nothing = jnp.zeros((batch, height, width, channels, taps, features), x.dtype)
        total, _ = jax.lax.scan(turn, nothing, size * jnp.arange(turns))
    return jnp.moveaxis(total.sum(axis=0), 3, 0)


def _padded(x: Array, kernel: tuple[int, int], result: tuple[int, int], stride: int, frames: tuple[int, int]) -> Array:
    """Zeros around the clip; height and width end with the last pixel in use, the width at a multiple of the stride."""
    needed = [(n - 1) * stride + size for n, size in zip(result, kernel, strict=True)]
    needed[1] += -needed[1] % stride
    before = [size // 2 for size in kernel]
    after = [max(0, n - b - length) for n, b, length in zip(needed, before, x.shape[2:4], strict=True)]
    x = jnp.pad(x, [(0, 0), frames, *zip(before, after, strict=True), (0, 0)])
    return x[:, :, : needed[0], : needed[1]]


def _products(x: Array, y: Array, shape: tuple[int, ...], stride: int) -> Float[Array, "B h w c t d"]:
    taps, height, width, channels, features = shape
    batch, _, rows, columns, _ = y.shape
    moved = [jnp.pad(y, [(0, 0), (tap, taps - 1 - tap)] + [(0, 0)] * 3) for tap in range(taps)]
    right = jnp.concatenate(moved, axis=-1).reshape(batch, -1, taps * features)

    # Pixels of one stride are adjacent in memory, so a row of the kernel is copied in few long pieces.
    x = x.reshape(*x.shape[:3], -1, stride * channels)
    pieces = [x[:, :, :, first : first + columns] for first in range(-(-width // stride))]
    in_row = jnp.concatenate(pieces, axis=-1)[..., : width * channels]
    together = -(-_COLUMNS // (width * channels))
    parts = []
    for first in range(0, height, together):
        which = range(first, min(first + together, height))
        kernel_rows = [in_row[:, :, row : row + (rows - 1) * stride + 1 : stride] for row in which]
        left = jnp.concatenate(kernel_rows, axis=-1).reshape(batch, right.shape[1], -1)
        product = jnp.einsum("bnm,bnd->bmd", left, right)
        parts.append(product.reshape(batch, len(which), width, channels, taps, features))
    return jnp.concatenate(parts, axis=1)
