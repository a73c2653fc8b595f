"""Windows of training clips, a start of its own for each clip."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key


def draw_starts(key: Key[Array, ""], batch_size: int, last: int) -> Int[Array, " B"]:
    """A first frame for each clip, uniform in 0 to `last`."""
    return jax.random.randint(key, (batch_size,), 0, last + 1)


def cut(clips: Any, starts: Int[Array, " B"], size: int) -> Any:
    """`size` frames of each clip of a tree of arrays [B T ...], from its start; zeros behind a clip's end."""

    def of_clip(x: Array, start: Array) -> Array:
        padded = jnp.pad(x, [(0, size)] + [(0, 0)] * (x.ndim - 1))
        return jax.lax.dynamic_slice_in_dim(padded, start, size)

    return jax.tree.map(lambda x: jax.vmap(of_clip)(jnp.asarray(x), starts), clips)
