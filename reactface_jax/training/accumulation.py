"""A batch in parts, whose results are averaged: for a part's memory the whole batch's numbers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def averaged(function: Callable[..., Any], parts: int, *whole: Any) -> Any:
    """Mean over parts of `function(index, *part)`, computed one after the other.

    Args:
      function: of a part's number and the parts of `whole`.
      parts: their number.
      whole: trees of arrays [B ...].
    """
    cut = jax.tree.map(lambda x: _cut(x, parts), whole)
    one = jax.tree.map(lambda x: x[0], cut)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, jnp.zeros((), int), *one))

    def add(total: Any, part: tuple[Any, ...]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*part)), None

    total, _ = jax.lax.scan(add, zeros, (jnp.arange(parts), *cut))
    return jax.tree.map(lambda x: x / parts, total)


def _cut(x: Array, parts: int) -> Array:
    """[B ...] to [parts B/parts ...]; each part has as many of each device's clips, so that none travel."""
    return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)
