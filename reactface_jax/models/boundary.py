"""Sharding constraints on activations: at the blocks' boundaries, and nowhere else.

Between two boundaries the compiler chooses the layout, from the parameters' shardings. At a boundary each clip lies
whole on the devices that hold its row of the batch, so no block's layout spreads into the next.
"""

from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

BATCH_AXES = ("data", "fsdp")
"""Mesh axes over which the rows of a batch are sharded, together."""


def on_mesh_now() -> bool:
    """Whether this is traced for a mesh, by `reactface_jax.training.sharding.on_mesh` or under `jax.set_mesh`."""
    return set(BATCH_AXES) <= set(jax.sharding.get_abstract_mesh().axis_names)


def at_boundary(x: Array) -> Array:
    """`x` [B ...], its rows sharded over the mesh; `x` unchanged where there is no mesh."""
    return jax.lax.with_sharding_constraint(x, PartitionSpec(BATCH_AXES)) if on_mesh_now() else x


def row_by_row(function: Callable[..., Array], x: Array, *params: Array) -> Array:
    """`function(x, *params)` of a function that works row by row, computed by each device for its own rows.

    For operations that the compiler can't split by rows: it would gather the batch on every device.
    """
    if not on_mesh_now():
        return function(x, *params)
    rows, everywhere = PartitionSpec(BATCH_AXES), PartitionSpec()

    def own_rows(x: Array, *params: Array) -> Array:
        # `params` are replicated: marked as varying, their gradients are summed over devices in the backward pass.
        return function(x, *(jax.lax.pcast(each, BATCH_AXES, to="varying") for each in params))

    split = jax.shard_map(own_rows, in_specs=(rows, *(everywhere for _ in params)), out_specs=rows)
    result: Array = split(x, *params)
    return result
