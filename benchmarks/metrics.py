"""How long the measures take: `python benchmarks/metrics.py [--clips 32] [--neighbours 80] [--frames 750]`.

The defaults are a fiftieth of REACT2023's test split (1612 clips, 10 reactions, about 80 neighbours, 750 frames);
`--clips 1612` is the whole of it. Each measure by itself grows with the number of clips only, and its line
extrapolates; the control of `--whole`, FRCorr by chance, compares every reaction with all listeners. People are made:
smooth channels of Table II's variances (movement .012, between people .0067), mixed by few components as faces are,
with noise from frame to frame.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from reactface_jax import metrics
from reactface_jax.metrics import correlation, diversity, dtw
from reactface_jax.metrics.synchrony import synchrony
from reactface_jax.worker_pool import num_cores

FULL_SIZE = 1612
COMPONENTS = 10
SMOOTHNESS = np.float32(np.exp(-1 / 20))
"""Correlation of a component from a frame to the next one: it changes within 0.8 s."""


def people(
    generator: np.random.Generator, shape: tuple[int, ...], frames: int, components: int, between: float, move: float
) -> np.ndarray:
    """Float32 coefficients [..., T, 58]."""
    mixing = np.random.default_rng(99).standard_normal((components, 58), np.float32)
    mixing *= 0.8 ** np.arange(components, dtype=np.float32)[:, None]
    mixing /= np.sqrt(np.square(mixing).sum(0))
    made = np.empty((*shape, frames, 58), np.float32)
    for index in np.ndindex(*shape):
        noise = generator.standard_normal((frames, components), np.float32)
        motion = noise.copy()
        for t in range(1, frames):
            motion[t] = SMOOTHNESS * motion[t - 1] + np.sqrt(1 - SMOOTHNESS**2) * noise[t]
        person = generator.standard_normal(components, np.float32)
        made[index] = 1 + (np.sqrt(move) * motion + np.sqrt(between) * person) @ mixing
        made[index] += np.sqrt(0.001) * generator.standard_normal((frames, 58), np.float32)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--reactions", type=int, default=10)
    parser.add_argument("--neighbours", type=int, default=80)
    parser.add_argument("--frames", type=int, default=750)
    parser.add_argument(
        "--components", type=int, default=COMPONENTS, help="58: channels that know nothing of each other"
    )
    parser.add_argument("--whole", action="store_true", help="the whole set at once, and not each measure by itself")
    arguments = parser.parse_args()
    clips, reactions, frames = arguments.clips, arguments.reactions, arguments.frames
    pool = max(clips, arguments.neighbours)  # listeners to choose neighbours from

    generator = np.random.default_rng(0)
    made = (frames, arguments.components)
    prediction = people(generator, (clips, reactions), *made, between=0.0045, move=0.0159)
    speaker, listener = (people(generator, (n,), *made, between=0.0067, move=0.012) for n in (clips, pool))
    rank = generator.random((clips, pool)).argsort(1).argsort(1)
    neighbours = rank < arguments.neighbours
    pairs = int(neighbours.sum()) * reactions
    print(f"{clips} clips, {reactions} reactions, {pairs} pairs, {frames} frames, {num_cores()} cores")
    dtw.nearest_distance(prediction[:1, :1, :20], listener[:3, :20], np.ones((1, 3), bool))  # compiles

    def measure(name: str, run: Callable[[], object], units: int, unit: str) -> None:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        line = f"{name:20} {seconds:8.2f} s ({cpu:8.2f} s of CPU), {1e3 * cpu / units:8.3f} ms of CPU a {unit}"
        print(
            f"{line}; {cpu * FULL_SIZE * 10 / (clips * reactions) / 60:6.1f} min of CPU for {FULL_SIZE} clips x 10",
            flush=True,
        )

    if arguments.whole:
        if clips < pool:
            parser.error(f"--whole needs at least --neighbours {arguments.neighbours} clips")
        columns = (TextColumn("measuring"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            task = progress.add_task("measuring", total=clips)
            advance = lambda: progress.advance(task)  # noqa: E731
            measure(
                "the whole set",
                lambda: metrics.measure(prediction, speaker, listener, neighbours, advance=advance),
                clips * reactions,
                "reaction",
            )
    else:
        moments, pool_ready = correlation.moments(listener), dtw.Pool(listener)
        with threadpool_limits(1, "blas"):
            measure("FRCorr", lambda: correlation.best_concordance(prediction, moments, neighbours), pairs, "pair")
            measure("FRDist", lambda: dtw.nearest_distance(prediction, pool_ready, neighbours), pairs, "pair")
            measure(
                "FRDist, not pruned",
                lambda: dtw.nearest_distance(prediction, pool_ready, neighbours, prune=False),
                pairs,
                "pair",
            )
            measure("FRVar", lambda: diversity.variance_over_time(prediction), clips * reactions, "reaction")
            measure("FRDiv", lambda: diversity.within_clips(prediction), clips * reactions, "reaction")
            measure("FRDvs", lambda: diversity.between_clips(prediction), clips * reactions, "reaction")
            measure("FRSyn", lambda: synchrony(prediction, speaker), clips * reactions, "reaction")
    print(f"memory at its highest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
