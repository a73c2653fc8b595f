"""How long the measures take: `python benchmarks/metrics.py [--clips 32 --neighbours 80 --frames 750]`.

The defaults are a fiftieth of REACT2023's test split (1612 clips, 10 reactions, about 80 neighbours, 750 frames); every
measure but the random-neighbour control grows with the number of clips alone.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable

import numpy as np

from reactface_jax.metrics import correlation, diversity, dtw
from reactface_jax.metrics.synchrony import synchrony


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--reactions", type=int, default=10)
    parser.add_argument("--neighbours", type=int, default=80)
    parser.add_argument("--frames", type=int, default=750)
    arguments = parser.parse_args()
    clips, reactions, frames = arguments.clips, arguments.reactions, arguments.frames
    pool = max(clips, arguments.neighbours)  # listeners to choose neighbours from

    generator = np.random.default_rng(0)

    def people(*shape: int) -> np.ndarray:
        steps = generator.standard_normal((*shape, frames, 58), np.float32) * np.float32(0.05)
        return 1 + steps.cumsum(-2)

    prediction, speaker, listener = people(clips, reactions), people(clips), people(pool)
    rank = generator.random((clips, pool)).argsort(1).argsort(1)
    neighbours = rank < arguments.neighbours
    pairs = int(neighbours.sum()) * reactions
    print(f"{clips} clips, {reactions} reactions, {pairs} pairs, {frames} frames, {os.cpu_count()} cores")

    def measure(name: str, run: Callable[[], object], units: int, unit: str) -> None:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"{name:20} {seconds:8.2f} s ({cpu:8.2f} s of CPU), {1e3 * seconds / units:8.3f} ms a {unit}")

    measure(
        "FRCorr",
        lambda: correlation.best_concordance(prediction, correlation.moments(listener), neighbours),
        pairs,
        "pair",
    )
    measure("FRDist", lambda: dtw.nearest_distance(prediction, listener, neighbours), pairs, "pair")
    measure("FRVar", lambda: diversity.variance_over_time(prediction), clips * reactions, "reaction")
    measure("FRDiv", lambda: diversity.within_clips(prediction), clips * reactions, "reaction")
    measure("FRDvs", lambda: diversity.between_clips(prediction), clips * reactions, "reaction")
    measure("FRSyn", lambda: synchrony(prediction, speaker), clips * reactions, "reaction")
    print(f"memory at its highest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
