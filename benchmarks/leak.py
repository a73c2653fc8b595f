"""How far a model sees ahead: `python benchmarks/leak.py --checkpoint RUN [--data SHARDS] [--clips 8]`.

From the middle of every clip on, the speaker's face and voice are replaced by those of another clip. What changes in
the reactions before that moment was taken from the future. Printed as a Markdown table: the change's root mean square
as a share of the reactions' own movement (their standard deviation over time), by how long before the change they were.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

import reactface_jax as rf
from data_pipeline.loader import open_shards
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.weights.run import load_run

EDGES = (0, 8, 16, 32, 64)
"""Frames before the change at which a column ends."""


def changes(
    model: rf.ReactFace, params: dict, video: np.ndarray, audio: np.ndarray, key: jax.Array
) -> Iterator[tuple[str, list[float]]]:
    """Protocol, and the share of each column, of clips [N T H W 3] and their sound."""
    middle = middle_of(video.shape[1], model.config.window)
    other_video, other_audio = video.copy(), audio.copy()
    other_video[:, middle:] = np.roll(video, 1, axis=0)[:, middle:]
    other_audio[:, SAMPLES_PER_FRAME * middle :] = np.roll(audio, 1, axis=0)[:, SAMPLES_PER_FRAME * middle :]
    protocols = ("clip", "stream") if model.config.causal else ("clip", "prefix", "window")
    for protocol in protocols:
        before, after = (
            np.asarray(rf.generate(model, params, *clips, protocol=protocol, num_reactions=2, key=key))
            for clips in ((video, audio), (other_video, other_audio))
        )
        movement = np.sqrt(before.var(axis=2).mean())
        squares = np.square(after - before)[:, :, :middle].mean(axis=(0, 1, 3))[::-1]  # by frames before the change
        parts = [squares[a:b] for a, b in columns_until(middle)]
        yield protocol, [float(np.sqrt(part.mean()) / movement) for part in parts]


def middle_of(frames: int, window: int) -> int:
    """The start of the window in which the clip's middle lies."""
    return frames // 2 // window * window


def columns_until(middle: int) -> list[tuple[int, int]]:
    return list(itertools.pairwise([edge for edge in EDGES if edge < middle] + [middle]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the --workdir of a training run")
    parser.add_argument("--data", help="shards; the run's own by default")
    parser.add_argument("--split", default="test")
    parser.add_argument("--clips", type=int, default=8)
    arguments = parser.parse_args()
    run = load_run(arguments.checkpoint)
    shards = open_shards(arguments.data or run.config.data.dir)
    frames = min(run.config.data.eval_frames, int(shards.num_frames(arguments.split).min()))
    batches = shards.clip_batches(
        arguments.split, batch_size=arguments.clips, num_frames=frames, image_size=run.config.data.image_size
    )
    batch = next(iter(batches))
    video, audio = np.asarray(to_unit_range(batch.video)), np.asarray(batch.audio)
    window = run.config.model.window
    middle = middle_of(frames, window)
    columns = [f"{a + 1} to {b} frames before" for a, b in columns_until(middle)]
    print(f"windows of {window}, {len(video)} clips of {frames} frames, changed from frame {middle} on")
    print("| protocol | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for protocol, shares in changes(rf.build_model(run.config.model), run.params, video, audio, jax.random.key(0)):
        print(f"| {protocol} | " + " | ".join(f"{share:.1%}" if share else "0" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
