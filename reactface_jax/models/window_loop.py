"""Windows one after the other: a loop whose step is traced and compiled once."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def scan_windows(step: Callable[..., tuple[Any, Any]], module: nn.Module, carry: Any, xs: Any) -> tuple[Any, Any]:
    """`nn.scan` of a window step.

    The first window makes the parameters. Flax's own way to make them in a scan traces each step twice, ever after too.

    Args:
      step: of module, carry and a window's inputs to carry and a window's outputs.
      module: whose parameters it uses.
      carry: before the first window.
      xs: of all windows, which are their first axis.

    Returns:
      The last carry, and the outputs of all windows.
    """
    if module.is_initializing():
        windows = jax.tree.leaves(xs)[0].shape[0]
        carry, first = step(module, carry, jax.tree.map(lambda x: x[0], xs))
        return carry, jax.tree.map(lambda y: jnp.broadcast_to(y, (windows, *y.shape)), first)
    scan = nn.scan(
        step,
        variable_broadcast="params",
        variable_axes={"attention": 0},  # attention weights of every window, kept if that collection is mutable
        split_rngs={"params": False, "dropout": True},
        check_constancy_invariants=False,
    )
    found: tuple[Any, Any] = scan(module, carry, xs)
    return found
