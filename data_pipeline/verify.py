"""`prepare verify`: a shard set read back."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import Progress

from data_pipeline.progress import progress
from reactface_jax.errors import UserError

if TYPE_CHECKING:
    from data_pipeline.loader import ShardSet


def verify(data: Path) -> None:
    """Reads a shard set back: every checksum, every example, every frame.

    Args:
      data: the folder that `shards` wrote.
    """
    from data_pipeline.loader import open_shards
    from data_pipeline.shards import checksum

    shard_set = open_shards(data)
    for name, expected in shard_set.description["files"].items():
        if checksum(data / name) != expected:
            raise UserError(
                f"{data / name} is damaged: its checksum is another; copy it again, or write the shards anew"
            )
    with progress() as bar:
        for split in shard_set.description["splits"]:
            _verify_examples(shard_set, split, bar)
    print(f"{data}: all files and all examples are whole")


def _verify_examples(shard_set: "ShardSet", split: str, bar: Progress) -> None:
    """Decodes each example whole, and compares it with the description, the table and the matrix."""
    speakers, _ = shard_set.coefficients(split)
    labels = shard_set.appropriateness(split)
    lengths = shard_set.num_frames(split)
    shape = (*shard_set.description["frame_size"], 3)
    for index in bar.track(range(len(lengths)), description=split):
        example = shard_set.example(split, index)
        same = (
            int(example["index"]) == index
            and example["speaker_id"].decode() == shard_set.clip_ids(split)[index]
            and len(example["frames"]) == len(example["speaker"]) == len(example["listener"]) == lengths[index]
            and all(frame.shape == shape for frame in example["frames"])
            and np.array_equal(example["speaker"][: speakers.shape[1]], speakers[index])
            and np.array_equal(example["neighbours"], np.flatnonzero(labels[index]))
        )
        if not same:
            raise UserError(
                f"example {index} of {split} in {shard_set.folder} contradicts its description; write it anew"
            )
