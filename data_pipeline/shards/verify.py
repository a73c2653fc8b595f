"""`prepare verify`: a shard set read back."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from rich.progress import Progress

from data_pipeline.progress import progress
from data_pipeline.raw_tree.clip_arrays import read_array
from data_pipeline.shards.description import (
    Description,
    SplitDescription,
    checksum,
    damaged,
    is_shard,
    read_description,
    shards_of,
)
from data_pipeline.shards.remote import AnyPath, any_path, fetched, first_line
from reactface_jax.errors import UserError
from reactface_jax.worker_pool import num_cores

if TYPE_CHECKING:
    from array_record.python.array_record_data_source import ArrayRecordDataSource

# TensorFlow takes seconds to import, and worker processes import this file: functions import it themselves.


def verify(data: str) -> None:
    """Reads a shard set back: every checksum, every example, every frame.

    Args:
      data: the folder that `shards` wrote; or gs://bucket/folder.
    """
    folder = any_path(data)
    description = read_description(folder)
    for name, expected in description["files"].items():
        if not is_shard(name):
            with fetched(folder / name) as file:
                if checksum(file) != expected:
                    raise damaged(folder / name)
    with progress() as bar:
        for split in description["splits"]:
            _verify_split(folder, description, split, bar)
    counts = [f"{split['clips']} clips of {name}" for name, split in description["splits"].items()]
    print(f"{data}: all files and all examples are whole: {', '.join(counts)}")


def _verify_split(folder: AnyPath, description: Description, split: str, bar: Progress) -> None:
    """Reads a split's shards one by one, and compares each example with the description, the table and the matrix."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    content = description["splits"][split]
    table = read_array(folder / f"coefficients_{split}.npy")
    labels = read_array(folder / f"appropriateness_{split}.npy").astype(bool)
    task = bar.add_task(split, total=content["clips"])
    first = 0
    for name in shards_of(description, split):
        with fetched(folder / name) as file, ThreadPoolExecutor(num_cores()) as pool:
            if checksum(file) != description["files"][name]:
                raise damaged(folder / name)
            try:
                source = ArrayRecordDataSource([str(file)])
            except (ValueError, RuntimeError) as error:
                raise UserError(
                    f"{folder / name} is no file of records ({first_line(error)}); write the shards anew"
                ) from error
            wrong = partial(_contradiction, source, first, content, description["frame_size"], table, labels)
            for number, why in enumerate(pool.map(wrong, range(len(source)))):
                if why:
                    raise UserError(
                        f"record {number} of {folder / name}, clip {first + number} of {split}, contradicts the set's "
                        f"description: {why}; write the shards anew"
                    )
                bar.advance(task)
            first += len(source)
    if first != content["clips"]:
        raise UserError(
            f"the shards of {split} in {folder} hold {first} clips, not {content['clips']}; write them anew"
        )


def _contradiction(
    source: "ArrayRecordDataSource",
    first: int,
    content: SplitDescription,
    frame_size: list[int],
    table: Float[np.ndarray, "N T 58"],
    labels: Bool[np.ndarray, "N N"],
    number: int,
) -> str:
    """Decodes a record whole; returns what of it contradicts the description, in words."""
    from data_pipeline.shards.examples import features

    try:
        example = features().deserialize_example_np(source[number])
    except Exception as error:  # TFDS, protobuf and OpenCV have their own
        return f"it can't be decoded ({error})"
    index = first + number
    partner = (index + len(table) // 2) % len(table)
    length = content["frames"][index]
    shape = (*frame_size, 3)
    pictures = length if any(frame_size) else 0
    portrait = example["portrait"].shape in (shape, *([] if pictures else [(1, 1, 3)]))
    checks = {
        "its number": int(example["index"]) == index,
        "its speaker": example["speaker_id"].decode() == content["clip_ids"][index],
        "its listener": example["listener_id"].decode() == content["clip_ids"][partner],
        "its number of frames": len(example["speaker"]) == len(example["listener"]) == length,
        "its number of pictures": len(example["frames"]) == pictures,
        "the size of its frames": portrait and all(frame.shape == shape for frame in example["frames"]),
        "its speaker's coefficients": np.array_equal(example["speaker"], table[index, :length]),
        "its listener's coefficients": np.array_equal(example["listener"], table[partner, :length]),
        "its attributes": all(
            len(found) in (0, length) and np.isfinite(found).all()
            for found in (example["speaker_attributes"], example["listener_attributes"])
        ),
        "its sound": len(example["audio"]) > 0,
        "its neighbours": np.array_equal(example["neighbours"], np.flatnonzero(labels[index])),
    }
    return ", ".join(what for what, holds in checks.items() if not holds)
