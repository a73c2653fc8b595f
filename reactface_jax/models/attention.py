"""Post-norm transformer layers with additive masks, equal to PyTorch's `nn.TransformerDecoderLayer`.

Leading axes are free: a listener's queries are [B K F D] while the speaker's memory is [B 1 M D], so that the keys and
values of one encoding serve K reactions.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from reactface_jax.ops.linear import dense

LAYER_NORM_EPSILON = 1e-5


def layer_norm(dtype: DTypeLike, name: str) -> nn.LayerNorm:
    """LayerNorm with PyTorch's epsilon and a two-pass variance; statistics in float32 whatever `dtype`."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, use_fast_variance=False, dtype=dtype, name=name)


def projection(width: int, dtype: DTypeLike, name: str) -> nn.Dense:
    """Query, key or value: PyTorch draws the three as one Xavier-uniform matrix of [3 D, D]."""
    return dense(width, dtype, name, scale=1 / 2)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with an additive mask; logits and softmax are float32 whatever `dtype`."""

    num_heads: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "... F D"],
        memory: Float[Array, "... M D"],
        mask: Float[Array, "... #F M"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "... F D"]:
        """Attends from `x` to `memory`; `mask` ([h F M], or with leading axes) is added to the logits."""
        width = x.shape[-1]
        split = (self.num_heads, width // self.num_heads)

        def project(name: str, y: Array) -> Array:
            return projection(width, self.dtype, name)(y).reshape(*y.shape[:-1], *split)  # ... F h d

        query = project("query", x) / math.sqrt(split[1])
        key = project("key", memory)
        logits = jnp.einsum("...qhd,...mhd->...hqm", query, key, preferred_element_type=jnp.float32)
        if mask is not None:
            logits += jnp.expand_dims(mask, range(logits.ndim - mask.ndim))
        weights = jax.nn.softmax(logits).astype(self.dtype)
        if not self.is_initializing():
            self.sow("attention", "weights", weights)  # kept if the caller makes this collection mutable
        weights = nn.Dropout(self.dropout)(weights, deterministic=deterministic)
        attended = jnp.einsum("...hqm,...mhd->...qhd", weights, project("value", memory))
        return dense(width, self.dtype, "out")(attended.reshape(x.shape))


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward of width 2 D; each with residual and LayerNorm after it."""

    num_heads: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "... F D"],
        memory: Float[Array, "... M D"],
        self_mask: Float[Array, "... #F F"] | None = None,
        memory_mask: Float[Array, "... #F M"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "... F D"]:
        """The specification's decoder(x, m)."""

        def drop(y: Array) -> Array:
            return nn.Dropout(self.dropout)(y, deterministic=deterministic)

        def attend(name: str, x: Array, memory: Array, mask: Array | None) -> Array:
            attention = MultiHeadAttention(self.num_heads, self.dropout, self.dtype, name=name)
            attended: Array = attention(x, memory, mask, deterministic=deterministic)
            return attended

        return decode(
            x,
            lambda x: attend("self_attention", x, x, self_mask),
            lambda x: attend("cross_attention", x, memory, memory_mask),
            drop,
            self.dtype,
        )


def decode(
    x: Float[Array, "... F D"],
    attend_to_self: Callable[[Array], Array],
    attend_to_memory: Callable[[Array], Array],
    drop: Callable[[Array], Array],
    dtype: DTypeLike,
) -> Float[Array, "... F D"]:
    """The rest of a decoder layer: residuals, LayerNorms and the feed-forward around its two attentions.

    Args:
      x: queries.
      attend_to_self: self-attention, without residual or norm.
      attend_to_memory: cross-attention, likewise.
      drop: dropout, applied to each branch before it is added.
      dtype: of the computation.
    """
    x = layer_norm(dtype, "norm1")(x + drop(attend_to_self(x)))
    x = layer_norm(dtype, "norm2")(x + drop(attend_to_memory(x)))
    width = x.shape[-1]
    hidden = drop(nn.relu(dense(2 * width, dtype, "linear1")(x)))
    x = x + drop(dense(width, dtype, "linear2")(hidden))
    return layer_norm(dtype, "norm3")(x)


def encode(
    x: Float[Array, "... F D"],
    attended: Float[Array, "... F D"],
    feed_forward: int,
    drop: Callable[[Array], Array],
    dtype: DTypeLike,
) -> Float[Array, "... F D"]:
    """The rest of an encoder layer, after its attention: residuals, LayerNorms and the feed-forward.

    Args:
      x: queries.
      attended: what self-attention makes of them.
      feed_forward: width of the hidden layer.
      drop: dropout, applied to each branch before it is added.
      dtype: of the computation.
    """
    x = layer_norm(dtype, "norm1")(x + drop(attended))
    hidden = drop(nn.relu(dense(feed_forward, dtype, "linear1")(x)))
    x = x + drop(dense(x.shape[-1], dtype, "linear2")(hidden))
    return layer_norm(dtype, "norm2")(x)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, post-norm."""

    num_heads: int
    feed_forward: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "... M D"],
        mask: Float[Array, "... M"] | None = None,
        *,
        num_queries: int | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "... F D"]:
        """Encodes the first `num_queries` tokens (None: all), which attend to all; `mask` is added per key."""

        def drop(y: Array) -> Array:
            return nn.Dropout(self.dropout)(y, deterministic=deterministic)

        query = x[..., :num_queries, :]
        attention = MultiHeadAttention(self.num_heads, self.dropout, self.dtype, name="self_attention")
        per_key = None if mask is None else mask[..., None, None, :]  # ... h F M
        attended = attention(query, x, per_key, deterministic=deterministic)
        return encode(query, attended, self.feed_forward, drop, self.dtype)
