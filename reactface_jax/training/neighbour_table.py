"""Appropriate reactions of a batch, out of one table that every device holds.

A clip has up to 80 of them, 4.75 MB at 256 frames, and the loss needs every frame of each. So the table goes to the
devices once (0.56 GB for REACT2023's training split), and a batch brings no more than where its reactions lie there:
640 bytes a clip.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from reactface_jax.training.sharding import BATCH_SPEC
from reactface_jax.types import Batch

AnyTable = TypeVar("AnyTable", np.ndarray, Array)


class NeighbourTable:
    """The listeners of a split, where a mesh's devices find them."""

    def __init__(self, listeners: Float[np.ndarray, "N T C"], mesh: Mesh) -> None:
        """Takes the coefficients of each clip's listener, relative to `mean_face`, the same on every host."""
        self._host = np.asarray(listeners, np.float32)
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._table = jax.make_array_from_process_local_data(everywhere, self._host)
        self._take = jax.jit(take, static_argnums=2, out_shardings=NamedSharding(mesh, BATCH_SPEC))

    def filled(self, batch: Batch) -> Batch:
        """A batch on the devices, with its reactions [B M T C] instead of their places [B M 2]."""
        return batch._replace(neighbours=self._take(self._table, batch.neighbours, batch.speaker.shape[1]))

    def filled_on_host(self, batch: Batch) -> Batch:
        """The same of a batch of numpy arrays."""
        places = np.asarray(batch.neighbours)
        return batch._replace(neighbours=take(self._host, places, batch.speaker.shape[1]))


def take(table: AnyTable, places: Int[AnyTable, "B M 2"], num_frames: int) -> AnyTable:
    """`num_frames` frames from each place, which is a row of the table and a frame in it."""
    numpy = np if isinstance(places, np.ndarray) else jnp
    frames = places[..., 1:] + numpy.arange(num_frames)[None, None]
    return table[places[..., :1], frames]
