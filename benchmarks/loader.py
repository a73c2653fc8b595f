"""Throughput of the loader: clips and frames a second, from shards to ready batches; and whether its memory stays flat.

python benchmarks/loader.py --data DIR [--clip-frames 256] [--batch-size 8] [--seconds 20]
python benchmarks/loader.py --data DIR --clip-frames 8 --batch-size 2 --image-sizes 64 --batches 10000
"""

import itertools
import resource
import time
from pathlib import Path

import tyro

from data_pipeline.loader import open_shards
from reactface_jax.errors import reports_user_errors


@reports_user_errors
def main(
    data: Path,
    split: str = "train",
    clip_frames: int = 256,
    batch_size: int = 8,
    image_sizes: tuple[int, ...] = (224, 64),
    max_neighbours: int = 80,
    seconds: float = 20.0,
    batches: int = 0,
) -> None:
    """Args as of the loader; `batches`: how many to read for the peak of memory, which is printed ten times."""
    shard_set = open_shards(data)
    print(f"{data}, {split}: {shard_set.num_clips(split)} clips; batches of {batch_size} x {clip_frames} frames")
    for image_size in image_sizes:
        stream = shard_set.train_batches(
            split,
            batch_size=batch_size,
            num_frames=clip_frames,
            image_size=image_size,
            max_neighbours=max_neighbours,
            seed=0,
        )
        begin = time.perf_counter()
        batch = next(stream)
        first = time.perf_counter() - begin
        for _ in itertools.islice(stream, 3):  # what was prefetched while nobody waited
            pass
        begin, cpu, steps = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < seconds:
            next(stream)
            steps += 1
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        clips = steps * batch_size
        print(
            f"image size {image_size}: {clips / wall:.2f} clips/s, {clips * clip_frames / wall:.0f} frames/s, "
            f"{clips * clip_frames / cpu:.0f} frames per core second; first batch after {first:.1f} s; "
            f"neighbours {batch.neighbours.shape}"
        )
        for count in range(1, batches + 1):
            next(stream)
            if count % max(batches // 10, 1) == 0:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"after {count} batches: at most {peak:.0f} MiB of memory")


if __name__ == "__main__":
    tyro.cli(main)
