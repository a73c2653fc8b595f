"""Attention whose keys come from a ring of past frames and from the chunk at hand.

The parameters are those of `attention.py` under the same names. A whole clip is one chunk without a ring.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from reactface_jax.models.attention import _ATTENTION_SCALE, decode
from reactface_jax.models.linear import dense
from reactface_jax.models.positions import MASKED, Alignment, head_slopes
from reactface_jax.models.ring import KeysValues, Place, belongs, frames_before


class Mask(NamedTuple):
    """Added to the logits of the chunk's keys, and of the ring's."""

    chunk: Float[Array, "... F M"]
    ring: Float[Array, "... F R"] | None = None


class Rings(NamedTuple):
    """Of a decoder layer. None: that attention does not look back."""

    self_attention: KeysValues | None = None
    cross_attention: KeysValues | None = None


NO_RINGS = Rings()


def attend(
    query: Float[Array, "... h F d"],
    new: KeysValues,
    mask: Mask,
    ring: KeysValues | None,
    drop: nn.Dropout,
    deterministic: bool,
) -> Float[Array, "... h F d"]:
    """Softmax attention to the ring and the chunk together; the softmax is computed in float32."""

    def logits(key: Array, bias: Array) -> Array:
        x = jnp.einsum("...hqd,...hmd->...hqm", query, key, preferred_element_type=jnp.float32)
        return x + jnp.expand_dims(bias, range(x.ndim - bias.ndim))

    scores = logits(new.key, mask.chunk)
    if ring is None:
        weights = drop(jax.nn.softmax(scores).astype(query.dtype), deterministic=deterministic)
        return jnp.einsum("...hqm,...hmd->...hqd", weights, new.value)
    assert mask.ring is not None, "a ring needs a mask"
    scores = jnp.concatenate([logits(ring.key, mask.ring), scores], axis=-1)
    weights = drop(jax.nn.softmax(scores).astype(query.dtype), deterministic=deterministic)
    size = ring.key.shape[-2]
    past = jnp.einsum("...hqm,...hmd->...hqd", weights[..., :size], ring.value)
    return past + jnp.einsum("...hqm,...hmd->...hqd", weights[..., size:], new.value)


def split_heads(x: Float[Array, "... F D"], num_heads: int) -> Float[Array, "... h F d"]:
    """The width as heads, before the frames: keys of one head lie together in memory."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], num_heads, -1), -2, -3)


def join_heads(x: Float[Array, "... h F d"]) -> Float[Array, "... F D"]:
    """The inverse of `split_heads`."""
    x = jnp.moveaxis(x, -3, -2)
    return x.reshape(*x.shape[:-2], -1)


class CausalAttention(nn.Module):
    """`MultiHeadAttention` with a ring."""

    num_heads: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "... F D"],
        memory: Float[Array, "... M D"],
        mask: Mask,
        ring: KeysValues | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "... F D"], KeysValues]:
        """Attends from `x` to the ring and to `memory`, whose keys and values are returned too."""
        width = x.shape[-1]

        def project(name: str, y: Array) -> Array:
            return split_heads(dense(width, self.dtype, name, scale=_ATTENTION_SCALE)(y), self.num_heads)

        query = project("query", x) / math.sqrt(width // self.num_heads)
        new = KeysValues(project("key", memory), project("value", memory))
        attended = attend(query, new, mask, ring, nn.Dropout(self.dropout), deterministic)
        return dense(width, self.dtype, "out")(join_heads(attended)), new


class CausalDecoderLayer(nn.Module):
    """`DecoderLayer` with rings."""

    num_heads: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "... F D"],
        memory: Float[Array, "... M D"],
        self_mask: Mask,
        memory_mask: Mask,
        rings: Rings = NO_RINGS,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "... F D"], Rings]:
        """Decodes a chunk; returns it with the chunk's keys and values, to be written into the rings."""

        def drop(y: Array) -> Array:
            return nn.Dropout(self.dropout)(y, deterministic=deterministic)

        seen: dict[str, KeysValues] = {}

        def attend(name: str, x: Array, memory: Array, mask: Mask, ring: KeysValues | None) -> Array:
            attention = CausalAttention(self.num_heads, self.dropout, self.dtype, name=name)
            y, seen[name] = attention(x, memory, mask, ring, deterministic=deterministic)
            return y

        x = decode(
            x,
            lambda x: attend("self_attention", x, x, self_mask, rings.self_attention),
            lambda x: attend("cross_attention", x, memory, memory_mask, rings.cross_attention),
            drop,
            self.dtype,
        )
        return x, Rings(**seen)


# ---- Masks. Frames are counted from the chunk's first, so that only the ring's depends on the conversation's age.


def temporal_mask(num_heads: int, frames: int, max_context: int, period: int | None, place: Place | None) -> Mask:
    """Causal, `max_context` frames wide; fading by floor((i - j) / period), or not at all without a period."""

    def bias(j: Int[Array, " M"]) -> Float[Array, "h F M"]:
        distance = jnp.arange(frames)[:, None] - j[None, :]
        units = jnp.zeros_like(distance) if period is None else distance // period
        return fading((distance >= 0) & (distance < max_context), units, num_heads)

    return with_ring(bias, jnp.arange(frames), place)


def speech_mask(
    num_heads: int, frames: int, max_context: int, period: int, ratio: int, alignment: Alignment, place: Place | None
) -> Mask:
    """Which of the speaker's frames a window of past reactions sees: `alignment_bias`, `max_context` frames wide.

    The `reference` form counts from the end of the memory. Here that is the end of the window that a frame belongs
    to, so that what a frame saw does not change when the conversation goes on.
    """

    def bias(j: Int[Array, " M"]) -> Float[Array, "h F M"]:
        i, j = jnp.arange(frames)[:, None], j[None, :]
        recent = i - j // ratio < max_context
        if alignment == "point_to_point":
            return fading((j // ratio == i) & recent, jnp.zeros_like(i - j), num_heads)
        reference = alignment == "reference"
        last, unit = ((ratio - 1) * frames + i, period) if reference else (ratio * i, ratio * period)
        return fading((j <= last) & recent, (last - j) // unit, num_heads)

    return with_ring(bias, jnp.arange(ratio * frames), place, ratio)


def with_ring(bias: Callable[[Array], Array], chunk: Int[Array, " M"], place: Place | None, ratio: int = 1) -> Mask:
    """A mask from a function of the keys' numbers; slots of other conversations are hidden."""
    if place is None:
        return Mask(bias(chunk))
    before, inside = frames_before(place), belongs(place)
    if ratio > 1:
        before = (ratio * before[:, None] + jnp.arange(ratio)[None, :]).reshape(-1)
        inside = jnp.repeat(inside, ratio, axis=1)
    hidden = jnp.where(inside, 0.0, MASKED)[:, None, None, :]  # B 1 1 R
    return Mask(bias(chunk), bias(before)[None] + hidden)


def fading(visible: Bool[Array, "F M"], units: Int[Array, "F M"], num_heads: int) -> Float[Array, "h F M"]:
    """-slope * units where visible, hidden elsewhere."""
    slopes = jnp.asarray(head_slopes(num_heads))[:, None, None]
    return jnp.where(visible[None], -slopes * units[None].astype(jnp.float32), MASKED)
