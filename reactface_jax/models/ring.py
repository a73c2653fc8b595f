"""Rings: the last frames' keys and values in buffers of fixed length, overwritten from the oldest on.

All conversations of a batch advance together, so they share one slot to write to; each has its own frame number, from
which follows how much of the ring belongs to it. Nothing needs to be cleared when a conversation starts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int


class Place(NamedTuple):
    """Where a chunk of frames stands."""

    frame: Int[Array, " B"]
    """Number of its first frame in each conversation."""
    slot: Int[Array, ""]
    """Where it goes in the rings, which hold `size` frames: a multiple of the window, as `size` is."""
    size: int


class KeysValues(NamedTuple):
    """An attention's keys and values: of a chunk, or a ring of them."""

    key: Float[Array, "... h M d"]
    value: Float[Array, "... h M d"]


def empty_ring(batch: tuple[int, ...], num_heads: int, length: int, width: int, dtype: DTypeLike) -> KeysValues:
    """A ring of `length` entries. Slots that hold nothing are never seen, so their values do not matter."""
    shape = (*batch, num_heads, length, width // num_heads)
    return KeysValues(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def ring_size(max_context: int, window: int) -> int:
    """Frames that a ring needs so that a window's first frame still reaches `max_context` frames back."""
    return -(-max_context // window) * window


def frames_before(place: Place) -> Int[Array, " R"]:
    """Frame numbers of the slots relative to the chunk's first frame: -1 for the newest, down to -R."""
    age = (place.slot - 1 - jnp.arange(place.size)) % place.size
    return -1 - age


def belongs(place: Place) -> Bool[Array, "B R"]:
    """Which slots hold frames of the conversation, and not of the one before it or nothing yet."""
    return frames_before(place)[None] + place.frame[:, None] >= 0


def write(ring: KeysValues, new: KeysValues, place: Place, window: int, ratio: int = 1) -> KeysValues:
    """The ring with a chunk of whole windows in it; `ratio` entries a frame."""

    def overwrite(buffer: Array, chunk: Array) -> Array:
        length, unit = chunk.shape[-2] // ratio, window
        for first in range(max(0, length - place.size), length, unit):
            slot = (place.slot + first) % place.size
            piece = chunk[..., ratio * first : ratio * (first + unit), :].astype(buffer.dtype)
            buffer = jax.lax.dynamic_update_slice_in_dim(buffer, piece, ratio * slot, axis=buffer.ndim - 2)
        return buffer

    return KeysValues(overwrite(ring.key, new.key), overwrite(ring.value, new.value))
