"""Appropriate reactions of a batch, out of one table that every device holds.

A clip has up to 80 of them, 4.75 MB at 256 frames, and the loss needs every frame of each. So the table goes to the
devices once (0.56 GB for REACT2023's training split), and a batch brings no more than where its reactions lie there:
640 bytes a clip.

On the devices the table has a row a coefficient, all clips behind each other: TPUs pad an array's last axis to 128
numbers, and would copy a table [N T C] into that form, 1.14 GiB, in every step (`benchmarks/tpu_plan.py pieces`).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from reactface_jax.training.sharding import BATCH_SPEC
from reactface_jax.types import AnyArray, Batch


class NeighbourTable:
    """The listeners of a split, where a mesh's devices find them."""

    def __init__(self, listeners: Float[np.ndarray, "N T C"], mesh: Mesh) -> None:
        """Takes the coefficients of each clip's listener, relative to `mean_face`, the same on every host."""
        self._host = np.asarray(listeners, np.float32)
        everywhere = NamedSharding(mesh, PartitionSpec())
        by_channel = np.ascontiguousarray(self._host.reshape(-1, self._host.shape[-1]).T)
        self._table = jax.make_array_from_process_local_data(everywhere, by_channel)
        self._take = jax.jit(take, static_argnums=(2, 3), out_shardings=NamedSharding(mesh, BATCH_SPEC))

    def filled(self, batch: Batch) -> Batch:
        """A batch on the devices, with its reactions [B M T C] instead of their places [B M 2]."""
        frames = batch.speaker.shape[1]
        return batch._replace(neighbours=self._take(self._table, batch.neighbours, frames, self._host.shape[1]))

    def filled_on_host(self, batch: Batch) -> Batch:
        """The same of a batch of numpy arrays."""
        places = np.asarray(batch.neighbours)
        frames = places[..., 1:] + np.arange(batch.speaker.shape[1])[None, None]
        return batch._replace(neighbours=self._host[places[..., :1], frames])


def take(
    table: Float[Array, "C NT"], places: Int[AnyArray, "B M 2"], num_frames: int, clip_frames: int
) -> Float[Array, "B M F C"]:
    """Frames from each place.

    Args:
      table: a row a coefficient; in it all frames of the first clip, then all of the second.
      places: a clip and the first of its frames that is wanted.
      num_frames: F, no more than the clip has from there on.
      clip_frames: of every clip in the table.
    """
    first = places[..., 0] * clip_frames + places[..., 1]
    one = functools.partial(jax.lax.dynamic_slice_in_dim, table, slice_size=num_frames, axis=1)
    return jnp.moveaxis(jax.vmap(jax.vmap(one))(jnp.asarray(first)), -2, -1)
