"""Attention whose keys come from a ring of past frames and from the chunk at hand.

The parameters are those of `attention.py` under the same names. A whole clip is one chunk without a ring.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from reactface_jax.models.attention import decode, projection
from reactface_jax.models.causal.ring import KeysValues, Place, frame_numbers, write
from reactface_jax.models.positions import MASKED, Alignment, head_slopes
from reactface_jax.ops.linear import dense


class Mask(NamedTuple):
    """Added to the logits of the chunk's keys, and of the ring's."""

    chunk: Float[Array, "... F M"] | None
    """None: the chunk's keys are seen only in the ring."""
    ring: Float[Array, "... F R"] | None = None
    written: bool = False
    """Whether the ring already holds the chunk."""


class Rings(NamedTuple):
    """Of a decoder layer. None: that attention sees only its chunk."""

    self_attention: KeysValues | None = None
    cross_attention: KeysValues | None = None


NO_RINGS = Rings()


def attend(
    query: Float[Array, "... h F d"],
    new: KeysValues,
    mask: Mask,
    ring: KeysValues | None,
    place: Place | None,
    drop: nn.Dropout,
    deterministic: bool,
    tokens: int = 0,
) -> tuple[Float[Array, "... h F d"], KeysValues | None]:
    """Softmax attention to the ring and the chunk together; the softmax is computed in float32.

    Args:
      query: of the chunk.
      new: the chunk's keys and values. The first `tokens` of them are no frames, and are not kept.
      mask: what is seen.
      ring: None: nothing came before, and nothing is kept.
      place: where the chunk stands, with a ring.
      drop: of the attention's weights.
      deterministic: no dropout.
      tokens: see `new`.

    Returns:
      What was attended to, and the ring with the chunk in it.
    """
    after = None
    seen = [(new, mask.chunk)]
    if ring is not None:
        assert place is not None, "a ring needs a place"
        after = write(ring, KeysValues(*(part[..., tokens:, :] for part in new)), place)
        if mask.written:
            fresh = KeysValues(*(part[..., :tokens, :] for part in new))
            seen = [(after, mask.ring), *([(fresh, mask.chunk)] if tokens else [])]
        else:
            seen = [(ring, mask.ring), (new, mask.chunk)]

    def logits(key: Array, bias: Array | None) -> Array:
        assert bias is not None, "keys that are seen need a mask"
        # In this order the keys are not transposed: a quarter of the time for many keys and few queries on a CPU.
        x = jnp.einsum("...hmd,...hqd->...hmq", key, query, preferred_element_type=jnp.float32).swapaxes(-1, -2)
        return x + jnp.expand_dims(bias, range(x.ndim - bias.ndim))

    scores = jnp.concatenate([logits(keys.key, bias) for keys, bias in seen], axis=-1)
    weights = drop(jax.nn.softmax(scores).astype(query.dtype), deterministic=deterministic)
    ends = list(itertools.accumulate(keys.key.shape[-2] for keys, _ in seen))
    parts = [
        jnp.einsum("...hqm,...hmd->...hqd", part, keys.value)
        for part, (keys, _) in zip(jnp.split(weights, ends[:-1], axis=-1), seen, strict=True)
    ]
    return sum(parts[1:], start=parts[0]), after


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
        place: Place | None = None,
        *,
        tokens: int = 0,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "... F D"], KeysValues | None]:
        """Attends from `x` to the ring and to `memory`; returns the ring with `memory` in it (see `attend`)."""
        width = x.shape[-1]

        def project(name: str, y: Array) -> Array:
            return split_heads(projection(width, self.dtype, name)(y), self.num_heads)

        query = project("query", x) / math.sqrt(width // self.num_heads)
        new = KeysValues(project("key", memory), project("value", memory))
        drop = nn.Dropout(self.dropout)
        attended, after = attend(query, new, mask, ring, place, drop, deterministic, tokens)
        return dense(width, self.dtype, "out")(join_heads(attended)), after


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
        place: Place | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "... F D"], Rings]:
        """Decodes a chunk; returns it with the rings in which it stands."""

        def drop(y: Array) -> Array:
            return nn.Dropout(self.dropout)(y, deterministic=deterministic)

        after: dict[str, KeysValues | None] = {}

        def attend(name: str, x: Array, memory: Array, mask: Mask, ring: KeysValues | None) -> Array:
            attention = CausalAttention(self.num_heads, self.dropout, self.dtype, name=name)
            y, after[name] = attention(x, memory, mask, ring, place, deterministic=deterministic)
            return y

        x = decode(
            x,
            lambda x: attend("self_attention", x, x, self_mask, rings.self_attention),
            lambda x: attend("cross_attention", x, memory, memory_mask, rings.cross_attention),
            drop,
            self.dtype,
        )
        return x, Rings(**after)


# ---- Masks. Frames are counted from the chunk's first, so that only the ring's depends on the conversation's age.


def temporal_mask(num_heads: int, frames: int, max_context: int, period: int | None, place: Place | None) -> Mask:
    """Causal self-attention, `max_context` frames wide.

    Args:
      num_heads: h, each with a slope of its own.
      frames: F, of the chunk.
      max_context: how many frames a frame sees, itself included.
      period: the bias is -slope * floor((i - j) / period); None: no bias.
      place: where the chunk stands, with a ring.
    """

    def bias(j: Int[Array, " M"]) -> Float[Array, "h F M"]:
        distance = jnp.arange(frames)[:, None] - j[None, :]
        units = jnp.zeros_like(distance) if period is None else distance // period
        return fading((distance >= 0) & (distance < max_context), units, num_heads)

    return with_ring(bias, frames, place)


def speech_mask(
    num_heads: int,
    frames: int,
    max_context: int,
    period: int,
    ratio: int,
    alignment: Alignment,
    place: Place | None,
    visible: Int[Array, " B"] | None = None,
) -> Mask:
    """Which of the speaker's frames a window of past reactions sees: `alignment_bias`, `max_context` frames wide.

    The `reference` form counts from the end of the memory. Here that is the end of the window that a frame belongs
    to, so that what a frame saw does not change when the conversation goes on.

    Args:
      num_heads: h, each with a slope of its own.
      frames: F, video frames of the chunk.
      max_context: video frames that a frame looks back, its own included.
      period: video frames in a unit of the bias.
      ratio: memory frames a video frame: 1 for motion, 2 for speech.
      alignment: as in `alignment_bias`.
      place: where the chunk stands, with a ring.
      visible: video frames of the chunk that are not padding (None: all).
    """

    def bias(j: Int[Array, " M"]) -> Float[Array, "h F M"]:
        i, j = jnp.arange(frames)[:, None], j[None, :]
        recent = i - j // ratio < max_context
        if alignment == "point_to_point":
            return fading((j // ratio == i) & recent, jnp.zeros_like(i - j), num_heads)
        reference = alignment == "reference"
        last, unit = ((ratio - 1) * frames + i, period) if reference else (ratio * i, ratio * period)
        return fading((j <= last) & recent, (last - j) // unit, num_heads)

    return with_ring(bias, frames, place, ratio, visible)


def with_ring(
    bias: Callable[[Array], Array],
    frames: int,
    place: Place | None,
    ratio: int = 1,
    visible: Int[Array, " B"] | None = None,
) -> Mask:
    """A mask over chunk and ring from a bias over key numbers, counted from the chunk's first.

    Args:
      bias: key numbers [M] to the bias [h F M].
      frames: video frames of the chunk.
      place: where the chunk stands; None: no ring.
      ratio: keys a video frame.
      visible: frames of the chunk that are not padding (None: all); the others are masked, as are slots of the ring
        that hold another conversation's frames.
    """

    def shown(j: Int[Array, " M"], condition: Bool[Array, "B M"] | None) -> Array:
        if visible is not None:
            before_padding = j[None, :] < ratio * visible[:, None]
            condition = before_padding if condition is None else condition & before_padding
        return bias(j) if condition is None else bias(j)[None] + jnp.where(condition, 0.0, MASKED)[:, None, None, :]

    chunk = jnp.arange(ratio * frames)
    if place is None:
        return Mask(shown(chunk, None))
    written = frames == place.window
    slots = frame_numbers(place, written)
    slots = (ratio * slots[:, None] + jnp.arange(ratio)[None, :]).reshape(-1)
    ring = shown(slots, slots[None, :] + ratio * place.frame[:, None] >= 0)
    return Mask(None if written else shown(chunk, None), ring, written)


def fading(visible: Bool[Array, "F M"], units: Int[Array, "F M"], num_heads: int) -> Float[Array, "h F M"]:
    """-slope * units where visible, hidden elsewhere."""
    slopes = jnp.asarray(head_slopes(num_heads))[:, None, None]
    return jnp.where(visible[None], -slopes * units[None].astype(jnp.float32), MASKED)
