"""What both networks are made of: pre-norm transformer blocks, and convolution → LeakyReLU → BatchNorm.

Letters: B clips, T positions, D width.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reactface_jax.methods.ng.batch_norm import BatchNorm
from reactface_jax.models.attention import layer_norm
from reactface_jax.models.positions import MASKED
from reactface_jax.ops.linear import kernel_initializer

SLOPE = 0.2
"""Of the LeakyReLUs."""
KERNEL = 5
_MARGIN = KERNEL // 2
Initializer = nn.initializers.Initializer


class Attention(nn.Module):
    """Multi-head attention whose scores are divided by the square root of the whole width, not of a head's."""

    num_heads: int
    kernel_init: Initializer

    @nn.compact
    def __call__(
        self, query: Float[Array, "B T D"], memory: Float[Array, "B M D"], visible: Bool[Array, "T M"] | None = None
    ) -> Float[Array, "B T D"]:
        """Self-attention, with one packed projection, where `query` is `memory`."""
        width = query.shape[-1]
        if query is memory:
            query, key, value = jnp.split(self._project(3 * width, "query_key_value")(memory), 3, -1)
        else:
            query = self._project(width, "query")(query)
            key, value = jnp.split(self._project(2 * width, "key_value")(memory), 2, -1)
        query, key, value = (x.reshape(*x.shape[:2], self.num_heads, -1) for x in (query, key, value))  # B T h d
        logits = jnp.einsum("bqhd,bmhd->bhqm", query, key) * width**-0.5
        if visible is not None:
            logits = jnp.where(visible[None, None], logits, MASKED)
        attended = jnp.einsum("bhqm,bmhd->bqhd", jax.nn.softmax(logits), value)
        return nn.Dense(width, kernel_init=self.kernel_init, name="out")(attended.reshape(*attended.shape[:2], width))

    def _project(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, use_bias=False, kernel_init=self.kernel_init, name=name)


class Block(nn.Module):
    """x + attention, then x + MLP; LayerNorm before each, none after the last."""

    num_heads: int
    feed_forward: int
    kernel_init: Initializer

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T D"],
        query: Float[Array, "B T D"] | None = None,
        visible: Bool[Array, "T T"] | None = None,
    ) -> Float[Array, "B T D"]:
        """`query`, if given, asks as it is, without a norm; keys and values are of `x` in any case."""
        normed = layer_norm(x.dtype, "attention_norm")(x)
        asking = normed if query is None else query
        x = x + Attention(self.num_heads, self.kernel_init, name="attention")(asking, normed, visible)
        hidden = nn.Dense(self.feed_forward, kernel_init=self.kernel_init, name="linear1")(
            layer_norm(x.dtype, "feed_forward_norm")(x)
        )
        return x + nn.Dense(x.shape[-1], kernel_init=self.kernel_init, name="linear2")(nn.gelu(hidden))


class Convolution(nn.Module):
    """Kernel 5 over time, LeakyReLU, BatchNorm, in this order; the edges are repeated.

    With `transposed` it doubles the time instead and pads with zeros: the release asks for repeated edges there, too,
    which PyTorch refuses.
    """

    features: int
    stride: int = 1
    transposed: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B T c"], *, train: bool) -> Float[Array, "B T2 D"]:
        kernel = self.param("kernel", kernel_initializer(), (KERNEL, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.transposed:
            # PyTorch's stride 2, padding 2 and output padding 1: frames with zeros between them.
            x = jnp.stack([x, jnp.zeros_like(x)], axis=2).reshape(x.shape[0], -1, x.shape[-1])
        padded = jnp.pad(x, [(0, 0), (_MARGIN, _MARGIN), (0, 0)], mode="constant" if self.transposed else "edge")
        y = convolve(padded, kernel, self.stride)
        return BatchNorm(name="norm")(nn.leaky_relu(y + bias[None, None], SLOPE), train=train)


class PlainConvolution(nn.Module):
    """Kernel 5 over time, zeros at the edges, nothing after it."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "B T c"]) -> Float[Array, "B T D"]:
        kernel = self.param("kernel", kernel_initializer(), (KERNEL, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return convolve(jnp.pad(x, [(0, 0), (_MARGIN, _MARGIN), (0, 0)]), kernel) + bias[None, None]


def convolve(x: Float[Array, "B P c"], kernel: Float[Array, "5 c D"], stride: int = 1) -> Float[Array, "B T D"]:
    """One matrix product of the five frames around each: XLA's 1-D convolutions are slow on a CPU, and their gradients
    slower.

    Args:
      x: with margins.
      kernel: of five taps.
      stride: of the result.
    """
    span = x.shape[1] - KERNEL + 1
    taps = [x[:, tap : tap + span : stride] for tap in range(KERNEL)]
    product: Array = jnp.concatenate(taps, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
    return product


def pool(x: Float[Array, "B T D"], size: int) -> Float[Array, "B T2 D"]:
    """The largest of every `size` positions; T is a multiple of it.

    Pair by pair: the gradient of a reduction divides by the number of largest values, which is 0, and the gradient NaN,
    where the compiler computes the values again and rounds them otherwise.
    """
    return functools.reduce(jnp.maximum, [x[:, first::size] for first in range(size)])
