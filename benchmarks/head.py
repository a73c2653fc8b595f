"""Speed of the 3-D head: `python benchmarks/head.py [--size 256] [--frames 300]`."""

import time

import numpy as np
import tyro

from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer


def main(size: int = 256, frames: int = 300, repeats: int = 3) -> None:
    rng = np.random.default_rng(0)
    coefficients = np.tile(NEUTRAL, (frames, 1))
    coefficients[:, :52] = np.clip(np.cumsum(0.05 * rng.standard_normal((frames, 52)), axis=0), 0, 1)
    coefficients[:, 52:55] += 0.1 * np.sin(np.arange(frames)[:, None] / [9, 13, 17])
    for samples in (1, 4):
        head = HeadRenderer((size, size), samples=samples)
        head.render(coefficients[0])
        best, cpu = np.inf, np.inf
        for _ in range(repeats):
            start, used = time.perf_counter(), time.process_time()
            for row in coefficients:
                head.render(row)
            best = min(best, (time.perf_counter() - start) / frames)
            cpu = min(cpu, (time.process_time() - used) / frames)
        head.close()
        print(
            f"{size}x{size}, {samples} sample(s) a pixel: {1 / best:.0f} frames/s, {1e3 * cpu:.1f} ms of CPU time each"
        )


if __name__ == "__main__":
    tyro.cli(main)
