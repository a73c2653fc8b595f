"""`prepare shards`: a raw tree's shard set."""

import os
from pathlib import Path

from data_pipeline.progress import progress
from data_pipeline.react2023 import list_splits


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

    with progress() as bar:
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
