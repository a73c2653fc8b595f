"""Equal layers one after the other as a loop, which is compiled once instead of once a layer.

Parameters keep their places, a subtree for each layer, so checkpoints and converted weights do not change; they are
stacked where the loop begins.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from reactface_jax.models.recomputation import Remat, policy

Layer = Callable[[PyTree, Any, PRNGKeyArray | None], Any]
"""Parameters, the layer's input and a key for dropout (None: no dropout) to its output."""


def layer_parameters(module: nn.Module, count: int) -> list[PyTree] | None:
    """Those of `layer_0` … in `module`; None if a loop gains nothing, or while they are being made."""
    if count < 2 or module.is_initializing():
        return None
    params = module.variables["params"]
    return [params[f"layer_{index}"] for index in range(count)]


def loop_over_layers(
    layer: Layer, params: list[PyTree], x: Float[Array, "B S D"], key: PRNGKeyArray | None, remat: Remat = "none"
) -> Float[Array, "B S D"]:
    """Applies a layer with one set of parameters after the other.

    Args:
      layer: what is repeated.
      params: of each layer, all of the same shapes.
      x: the first layer's input.
      key: of all layers' dropout; None: no dropout.
      remat: what the backward pass computes again.
    """

    def step(x: Array, layer_inputs: tuple[PyTree, PRNGKeyArray | None]) -> tuple[Array, None]:
        y: Array = layer(layer_inputs[0], x, layer_inputs[1])
        return y, None

    run = step if remat == "none" else jax.checkpoint(step, prevent_cse=False, policy=policy(remat))
    keys = None if key is None else jax.random.split(key, len(params))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    x, _ = jax.lax.scan(run, x, (stacked, keys))
    return x
