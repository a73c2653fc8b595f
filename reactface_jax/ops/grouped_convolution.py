"""A grouped convolution over time whose kernel's gradient is fast on every backend.

XLA's CPU backend takes a hundred times as long for that gradient as for the convolution itself
(docs/performance.md). There it is one matrix product for each tap; GPUs and TPUs keep the native form.
`tests/parity/test_blocks.py` compares both.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = tuple[int, int]


def grouped_conv(
    x: Float[Array, "B S c"], kernel: Float[Array, "k g d"], padding: Padding, groups: int
) -> Float[Array, "B S2 d"]:
    """Convolution without bias, stride 1; c = g `groups`, and zeros pad the two ends of time."""
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _by_taps(x, kernel, padding, groups),
        default=lambda x, kernel: native(x, kernel, padding, groups),
    )


def native(x: Array, kernel: Array, padding: Padding, groups: int) -> Array:
    """XLA's own form."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), [padding], dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=groups
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _by_taps(x: Array, kernel: Array, padding: Padding, groups: int) -> Array:
    return native(x, kernel, padding, groups)


def _forward(x: Array, kernel: Array, padding: Padding, groups: int) -> tuple[Array, tuple[Array, Array]]:
    return native(x, kernel, padding, groups), (x, kernel)


def _backward(padding: Padding, groups: int, inputs: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = inputs
    (input_gradient,) = jax.vjp(lambda x: native(x, kernel, padding, groups), x)[1](cotangent)
    return input_gradient, kernel_gradient(x, cotangent, kernel.shape[0], padding, groups)


_by_taps.defvjp(_forward, _backward)


def kernel_gradient(
    x: Float[Array, "B S c"], cotangent: Float[Array, "B S2 d"], taps: int, padding: Padding, groups: int
) -> Float[Array, "k g d"]:
    """The kernel's gradient: for each tap and group, the product of its inputs and the cotangent over batch and time.

    Args:
      x: the convolution's input.
      cotangent: the result's gradient.
      taps: k.
      padding: zeros at the two ends of time.
      groups: of channels.
    """
    batch, length, features = cotangent.shape
    width = x.shape[-1] // groups
    x = jnp.pad(x, [(0, 0), padding, (0, 0)]).reshape(batch, -1, groups, width).transpose(2, 0, 1, 3)
    cotangent = cotangent.reshape(batch * length, groups, features // groups).swapaxes(0, 1)

    def tap(k: Array) -> Array:
        seen = jax.lax.dynamic_slice_in_dim(x, k, length, axis=2).reshape(groups, batch * length, width)
        return jax.lax.dot_general(seen, cotangent, (((1,), (1,)), ((0,), (0,))))  # groups, g, d / groups

    return jax.lax.map(tap, jnp.arange(taps)).swapaxes(1, 2).reshape(taps, width, features)
