"""A process of `test_loading.py`: joins the others, and prints the clips of its part of each batch."""

import sys
from itertools import islice

from reactface_jax.config import HostsConfig
from reactface_jax.training import hosts

shards, coordinator, index = sys.argv[1:]
hosts.join(HostsConfig(coordinator=coordinator, count=2, index=int(index)))

from data_pipeline.loader import open_shards  # noqa: E402
from reactface_jax.training.sharding import host_rows, make_mesh  # noqa: E402

batches = open_shards(shards).train_batches(
    "train", batch_size=4, num_frames=8, image_size=56, max_neighbours=0, seed=3, rows=host_rows(make_mesh(), 4)
)
for batch in islice(batches, 4):
    print("clips", *batch.clip, flush=True)
batches.close()  # its threads end before the interpreter does
