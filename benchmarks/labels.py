"""Label matrices: whether they find what was planted in made conversations, and how long they take.

python benchmarks/labels.py [--clips 60] [--seconds 10] [--speed-clips 200] [--wanted-clips 3000]
"""

import time

import numpy as np

from data_pipeline.dyads.attributes import attributes
from data_pipeline.dyads.conversations import Recipe, plan
from data_pipeline.dyads.conversations import neighbours as planted_neighbours
from data_pipeline.labels.appropriateness import neighbours
from reactface_jax.worker_pool import num_cores


def main(
    clips: int = 60, seconds: float = 10, speed_clips: int = 200, wanted_clips: int = 3000, mean_degree: float = 20
) -> None:
    speakers = played(clips, seconds)
    planted = planted_matrix(clips, seconds)
    own = np.eye(len(planted), dtype=bool)
    print(f"{len(planted)} clips of {seconds:g} s, {planted.sum(1).mean():.2f} planted appropriate reactions a clip")
    print("source        averaged  mean degree  precision  recall")
    for source, sequences in speakers.items():
        for average in (1, 5):
            for factor in (0.67, 1, 2):
                degree = 1 + factor * (planted.sum(1).mean() - 1)
                found = neighbours(sequences, degree, average=average).matrix
                hits = (found & planted & ~own).sum()
                precision, recall = hits / (found & ~own).sum(), hits / (planted & ~own).sum()
                print(f"{source:12}  {average:8}  {degree:11.2f}  {precision:9.3f}  {recall:6.3f}", flush=True)
    scale = wanted_clips * (wanted_clips - 1) / (speed_clips * (speed_clips - 1))
    print(f"{speed_clips} clips of 750 frames, mean degree {speed_clips * mean_degree / wanted_clips:.1f}; CPU time")
    pairs = speed_clips * (speed_clips - 1) / 2
    for source, sequences in played(speed_clips, 30, train_only=False).items():
        for average in (1, 5):
            neighbours(sequences[:40], 2, average=average)  # compiles
            begin, wall = time.process_time(), time.perf_counter()
            # As many of all pairs are wanted as in the large set.
            neighbours(
                sequences[:speed_clips],
                1 + (mean_degree - 1) * speed_clips / wanted_clips,
                average=average,
                workers=num_cores(),
            )
            cpu, wall = time.process_time() - begin, time.perf_counter() - wall
            print(
                f"{source:12}  {average} averaged: {cpu:.1f} s, {1e3 * cpu / pairs:.3f} ms a pair (wall {wall:.1f} s); "
                f"{wanted_clips} clips by count: {scale * cpu / 60:.1f} min of one core",
                flush=True,
            )


def played(clips: int, seconds: float, train_only: bool = True) -> dict[str, list[np.ndarray]]:
    """The speakers' behaviour in a split's order, without drawing anybody."""
    splits = plan(Recipe(num_clips=clips, seconds=seconds))
    chosen = splits["train"] if train_only else [c for conversations in splits.values() for c in conversations]
    coefficients = [conversation.play(role)[0] for role in (0, 1) for conversation in chosen]
    return {
        "coefficients": coefficients,
        "attributes": [attributes(sequence).astype(np.float32) for sequence in coefficients],
    }


def planted_matrix(clips: int, seconds: float) -> np.ndarray:
    return planted_neighbours(plan(Recipe(num_clips=clips, seconds=seconds))["train"]).astype(bool)


if __name__ == "__main__":
    import tyro

    tyro.cli(main, description=__doc__)
