"""Max-pooling of 3x3 pixels, every second one, whose gradient needs no scatter on a CPU.

XLA's gradient searches every window for its largest pixel again, and carries an index for each dimension: on a CPU that
takes ten times as long as the pooling (docs/performance.md). Here the forward pass stores in a byte which pixel won.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

_SIZE, _STRIDE = 3, 2


def max_pool(x: Float[Array, "B T H W c"]) -> Float[Array, "B T H2 W2 c"]:
    """3x3 pixels, every second one, within a frame; of equal pixels the first takes the gradient, as in PyTorch."""
    return jax.lax.platform_dependent(x, cpu=_with_winners, default=native)


def native(x: Float[Array, "B T H W c"]) -> Float[Array, "B T H2 W2 c"]:
    """The same by XLA, gradient included."""
    return nn.max_pool(x, (1, _SIZE, _SIZE), (1, _STRIDE, _STRIDE))


@jax.custom_vjp
def _with_winners(x: Array) -> Array:
    return native(x)


def _forward(x: Array) -> tuple[Array, tuple[UInt8[Array, "B T H2 W2 c"], Array]]:
    y = native(x)
    winner = jnp.full(y.shape, _SIZE**2, jnp.uint8)
    for tap in reversed(range(_SIZE**2)):
        row, column = divmod(tap, _SIZE)
        last = [first + (n - 1) * _STRIDE + 1 for first, n in zip((row, column), y.shape[2:4], strict=True)]
        pixel = x[:, :, row : last[0] : _STRIDE, column : last[1] : _STRIDE]
        winner = jnp.where(pixel == y, jnp.uint8(tap), winner)
    return y, (winner, jnp.zeros((0, *x.shape[2:4]), x.dtype))


def _backward(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array]:
    """Sums of the windows over each pixel, for even and odd rows and columns separately; then interleaved."""
    winner, like = kept
    height, width = like.shape[1:]

    def pixels(row_parity: int, column_parity: int) -> Array:
        total = jnp.zeros((), cotangent.dtype)
        for row in range(row_parity, _SIZE, _STRIDE):
            for column in range(column_parity, _SIZE, _STRIDE):
                won = jnp.where(winner == row * _SIZE + column, cotangent, 0)
                margins = [
                    (tap // _STRIDE, -(-length // _STRIDE) - tap // _STRIDE - n)
                    for tap, length, n in zip((row, column), (height, width), winner.shape[2:4], strict=True)
                ]
                total = total + jnp.pad(won, [(0, 0), (0, 0), *margins, (0, 0)])
        return total

    rows = [jnp.stack([pixels(parity, 0), pixels(parity, 1)], axis=4) for parity in range(_STRIDE)]
    batch, frames, half_height, half_width, _, channels = rows[0].shape
    rows = [row.reshape(batch, frames, half_height, 2 * half_width, channels) for row in rows]
    together = jnp.stack(rows, axis=3).reshape(batch, frames, 2 * half_height, 2 * half_width, channels)
    return (together[:, :, :height, :width],)


_with_winners.defvjp(_forward, _backward)
