"""Rings: the last frames' keys and values in buffers of fixed length, overwritten from the oldest on.

All conversations of a batch advance together, so they share one slot to write to. Each has its own frame number, which
says how much of the ring is its own: nothing needs to be cleared when a conversation starts.

A single window is written first and then read, since XLA copies a ring that is written after it was read. Several
windows at once would overwrite frames that the first of them still sees: they are read beside the ring and written
afterwards.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int


class Place(NamedTuple):
    """Where a chunk of frames stands."""

    frame: Int[Array, " B"]
    """Number of its first frame in each conversation."""
    slot: Int[Array, ""]
    """Index in the rings that it is written to; a multiple of the window, as is the rings' length `size`."""
    size: int
    window: int
    """Frames of a window; chunks are whole windows."""


class KeysValues(NamedTuple):
    """An attention's keys and values: of a chunk, or a ring of them."""

    key: Float[Array, "... h M d"]
    value: Float[Array, "... h M d"]


def empty_ring(batch: tuple[int, ...], num_heads: int, length: int, width: int, dtype: DTypeLike) -> KeysValues:
    """A ring that holds nothing; masks hide its slots until they are written.

    Args:
      batch: leading axes.
      num_heads: h.
      length: entries.
      width: D, of all heads together.
      dtype: of keys and values.
    """
    shape = (*batch, num_heads, length, width // num_heads)
    return KeysValues(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def ring_size(max_context: int, window: int) -> int:
    """Frames that a ring needs: its last window's first frame sees `max_context` frames, its own among them."""
    return -(-(max_context - 1 + window) // window) * window


def frame_numbers(place: Place, written: bool) -> Int[Array, " R"]:
    """Frame number of each slot, counted from the chunk's first frame.

    Args:
      place: where the chunk stands.
      written: whether the chunk, of one window, is in the ring already.
    """
    ahead = place.window if written else 0
    age = (place.slot + ahead - 1 - jnp.arange(place.size)) % place.size
    return ahead - 1 - age


def write(ring: KeysValues, new: KeysValues, place: Place) -> KeysValues:
    """The ring with a chunk of whole windows in it."""

    def overwrite(buffer: Array, chunk: Array) -> Array:
        ratio, unit = buffer.shape[-2] // place.size, place.window  # entries a frame
        length = chunk.shape[-2] // ratio
        for first in range(max(0, length - place.size), length, unit):
            slot = (place.slot + first) % place.size
            piece = chunk[..., ratio * first : ratio * (first + unit), :].astype(buffer.dtype)
            buffer = jax.lax.dynamic_update_slice_in_dim(buffer, piece, ratio * slot, axis=buffer.ndim - 2)
        return buffer

    return KeysValues(overwrite(ring.key, new.key), overwrite(ring.value, new.value))
