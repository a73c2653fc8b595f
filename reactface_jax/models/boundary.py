"""Where activations are split over devices: at the blocks' boundaries, and nowhere else.

Between two boundaries the compiler decides, from the parameters' shardings. At a boundary a clip is on the devices that
its row of the batch was dealt to, and whole there: so no layer's choice leaks into the next block.
"""

from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

BATCH_AXES = ("data", "fsdp")
"""Mesh axes that the rows of a batch are dealt to, together."""


def on_mesh_now() -> bool:
    """Whether this is being traced for a mesh, by `reactface_jax.training.sharding.on_mesh`."""
    return set(BATCH_AXES) <= set(jax.sharding.get_abstract_mesh().axis_names)


def at_boundary(x: Array) -> Array:
    """`x` [B ...], its rows dealt to the mesh; `x` as it is where there is none."""
    return jax.lax.with_sharding_constraint(x, PartitionSpec(BATCH_AXES)) if on_mesh_now() else x


def row_by_row(function: Callable[..., Array], x: Array, *params: Array) -> Array:
    """`function(x, *params)`, which treats each row of `x` alone, computed by each device for its own rows.

    For what the compiler can't split by rows: it would gather the batch on every device.
    """
    if not on_mesh_now():
        return function(x, *params)
    rows, everywhere = PartitionSpec(BATCH_AXES), PartitionSpec()

    def own_rows(x: Array, *params: Array) -> Array:
        # Each device has its own copy: their gradients are summed on the way back, whoever computes them.
        return function(x, *(jax.lax.pcast(each, BATCH_AXES, to="varying") for each in params))

    split = jax.shard_map(own_rows, in_specs=(rows, *(everywhere for _ in params)), out_specs=rows)
    result: Array = split(x, *params)
    return result
