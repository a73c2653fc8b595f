"""All devices of a job answer clips together: each holds the whole model, and its own rows of a batch.

The mesh of a training is not taken over: a model is evaluated wherever there are devices, and its parameters fit each.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree, Shaped

from reactface_jax.models.boundary import BATCH_AXES


class AllDevices:
    """The devices of all processes; of one process no more than there are clips, since the others would have none."""

    def __init__(self, num_clips: int, devices: Sequence[jax.Device] | None = None) -> None:
        """Takes the job's devices by default."""
        devices = jax.devices() if devices is None else devices
        devices = devices if jax.process_count() > 1 else devices[: max(num_clips, 1)]
        axes = (AxisType.Auto,) * len(BATCH_AXES)
        # Not jax.make_mesh, which refuses several slices or nodes: rows need no neighbours.
        self.mesh = Mesh(np.array(devices).reshape(-1, 1), BATCH_AXES, axis_types=axes)
        self._rows = NamedSharding(self.mesh, PartitionSpec(BATCH_AXES))
        self._whole = NamedSharding(self.mesh, PartitionSpec())

    def batch_size(self, wanted: int) -> int:
        """The least number of clips from `wanted` on that all devices share evenly."""
        return -(-wanted // self.mesh.size) * self.mesh.size

    def own_rows(self, batch_size: int) -> list[int]:
        """Rows of a batch that this process reads."""
        places: Any = self._rows.addressable_devices_indices_map((batch_size,))
        return sorted({row for (piece,) in places.values() for row in range(*piece.indices(batch_size))})

    def everywhere(self, tree: PyTree) -> PyTree:
        """Arrays that every process has, whole on each device."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._whole, np.asarray(x)), tree)

    def spread(self, tree: PyTree) -> PyTree:
        """This process's rows, as its part of one batch."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._rows, np.asarray(x)), tree)


def fetched(x: Shaped[Array, "..."]) -> Shaped[np.ndarray, "..."]:
    """All rows of an array of all devices, on every process."""
    return np.asarray(x if x.is_fully_addressable else multihost_utils.process_allgather(x, tiled=True))
