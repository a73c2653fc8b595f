"""Which device holds what: one mesh, one table of path patterns, and the batch.

The program is written for one device; `jax.jit` with these shardings runs it on many.
"""

import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from reactface_jax.errors import UserError
from reactface_jax.types import Batch

AXES = ("data", "fsdp", "model")
BATCH_SPEC = PartitionSpec(("data", "fsdp"))

RULES: tuple[tuple[str, PartitionSpec], ...] = ((r".*", PartitionSpec()),)
"""Path patterns of the training state, the first that matches counts. Data parallel: everything on every device."""


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of `devices`, all of the machine's by default, with all of them on the axis "data"."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices), 1, 1), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)


def spec(path: str) -> PartitionSpec:
    """The first rule's spec that matches a path such as `params/listener/coefficient_map/kernel`."""
    for pattern, partition in RULES:
        if re.search(pattern, path):
            return partition
    raise ValueError(f"no rule of reactface_jax.sharding.RULES matches {path}")


def shardings(tree: Any, mesh: Mesh) -> Any:
    """A tree like `tree`, with each leaf's `NamedSharding`."""

    def leaf(path: Any, _: Any) -> NamedSharding:
        return NamedSharding(mesh, spec(jax.tree_util.keystr(path, simple=True, separator="/")))

    return jax.tree_util.tree_map_with_path(leaf, tree)


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises `UserError` if the clips of a batch can't be dealt evenly to the devices."""
    shares = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch_size % shares:
        raise UserError(
            f"--train.batch-size {batch_size} can't be dealt to {shares} devices; take a multiple of {shares}"
        )


def place_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Puts this process's clips on its devices, as its part of one global batch."""
    sharding = NamedSharding(mesh, BATCH_SPEC)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)
