"""Prepares data: check a raw tree, write its shards, read a shard set back.

python -m data_pipeline.prepare check  --raw ROOT
python -m data_pipeline.prepare shards --raw ROOT --out DIR [--workers N] [--overwrite]
python -m data_pipeline.prepare verify --data DIR
python -m data_pipeline.prepare labels --raw ROOT --source full|attributes|coefficients [--mean-degree 20]
python -m data_pipeline.prepare import --pairs pairs.csv --out ROOT [--workers N]
python -m data_pipeline.prepare extract VIDEO --out DIR [--face right]
"""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from data_pipeline.labels import labels
from data_pipeline.react2023 import (
    Split,
    list_splits,
    read_appropriateness,
    read_coefficients,
    read_statistics,
    site_of,
)
from data_pipeline.recordings import extract, import_pairs
from reactface_jax.errors import UserError, reports_user_errors

if TYPE_CHECKING:
    from data_pipeline.loader import ShardSet

# TensorFlow takes seconds to import, and the worker processes import this file: the commands import it themselves.


def check(raw: Path) -> None:
    """Lists what a raw tree holds for each split and site, and what is left out and why; reads all but the videos.

    Args:
      raw: the tree's folder, with train.csv and Video_files/.
    """
    splits = list_splits(raw)
    Console().print(_table_of_sites(splits))
    for split in splits:
        for reason, count in Counter(row.reason for row in split.left_out).most_common():
            example = next(row for row in split.left_out if row.reason == reason)
            print(
                f"{split.name}: {count} rows left out, because the {reason}; such as row {example.row}, "
                f"{example.speaker} with {example.listener}"
            )
        for speaker, _ in split.directions:
            read_coefficients(speaker.coefficients)
        labels = read_appropriateness(raw, split)
        if labels is None:
            print(f"{split.name}: no matrix; each clip's only appropriate reaction will be its own listener's")
        else:
            degrees = labels[0].sum(axis=1)
            print(
                f"{split.name}: {labels[1].name}, appropriate reactions a clip: mean {degrees.mean():.1f}, "
                f"most {degrees.max()}"
            )
    statistics = "mean_face.npy and std_face.npy" if read_statistics(raw) else "the train split's coefficients"
    print(f"statistics: {statistics}")
    if "train" not in {split.name for split in splits}:
        raise UserError(f"{raw} has no train.csv, so nothing can be trained on it; add it")


def _table_of_sites(splits: list[Split]) -> Table:
    table = Table("split", "site", "csv rows", "usable", "left out")
    for split in splits:
        usable = Counter(site_of(speaker.id) for speaker, _ in split.pairs)
        left_out = Counter(site_of(row.speaker) for row in split.left_out)
        for site in sorted(usable | left_out):
            total = usable[site] + left_out[site]
            table.add_row(split.name, site, str(total), str(usable[site]), str(left_out[site]))
    return table


def shards(raw: Path, out: Path, workers: int = os.cpu_count() or 1, overwrite: bool = False) -> None:
    """Writes the shard set of a raw tree, which appears at --out when it is complete.

    Args:
      raw: the tree's folder, with train.csv and Video_files/.
      out: the folder to make.
      workers: processes that decode videos.
      overwrite: replace an existing shard set.
    """
    splits = list_splits(raw)  # a wrong --raw is reported before TensorFlow is imported
    left_out = sum(len(split.left_out) for split in splits)
    if left_out:
        print(f"{left_out} rows are left out, because files are missing: see `check`, or description.json")

    from data_pipeline.shards import write_shards

    with _progress() as bar:
        tasks = {split.name: bar.add_task(split.name, total=len(split.directions)) for split in splits}
        write_shards(
            raw,
            out,
            workers=workers,
            overwrite=overwrite,
            on_clip=lambda split, clip: bar.advance(tasks[split]),
        )
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {sum(len(split.directions) for split in splits)} clips, {size / 1e6:.1f} MB")


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
    with _progress() as bar:
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


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True))


@reports_user_errors
def main() -> None:
    """Runs the command that the first word names."""
    tyro.extras.subcommand_cli_from_dict(
        {
            "check": check,
            "shards": shards,
            "verify": verify,
            "labels": labels,
            "import": import_pairs,
            "extract": extract,
        },
        description=__doc__,
    )


if __name__ == "__main__":
    main()
