"""Speed of the portrait renderer, with random weights: `python benchmarks/pirender.py [--dtype bfloat16]`."""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from reactface_jax.rendering.portrait.model import WINDOW, PIRender
from reactface_jax.rendering.portrait.portrait import PortraitRenderer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=None, help="frames at once; the renderer's own by default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    portrait = jnp.zeros((arguments.size, arguments.size, 3))
    shapes = jax.eval_shape(PIRender().init, jax.random.key(0), portrait[None], jnp.zeros((1, WINDOW, 58)))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.05 * rng.standard_normal(leaf.shape), jnp.float32), shapes)
    renderer = PortraitRenderer(params, portrait, dtype=arguments.dtype, batch_size=arguments.batch)
    windows = rng.standard_normal((arguments.frames, WINDOW, 58)).astype(np.float32)

    start = time.perf_counter()
    jax.block_until_ready(list(renderer.draw(windows[: renderer.batch_size])))
    print(f"{jax.devices()[0].device_kind}, {arguments.size}x{arguments.size}, {arguments.dtype}")
    print(f"batches of {renderer.batch_size}; {time.perf_counter() - start:.1f} s to compile and draw the first")
    best, best_cpu = np.inf, np.inf
    for _ in range(arguments.repeats):
        start, cpu = time.perf_counter(), time.process_time()
        for pictures in renderer.draw(windows):
            jax.block_until_ready(pictures)
        best = min(best, (time.perf_counter() - start) / arguments.frames)
        best_cpu = min(best_cpu, (time.process_time() - cpu) / arguments.frames)
    print(f"{1 / best:.2f} frames/s ({1e3 * best:.0f} ms a frame), {best_cpu:.2f} s of CPU time a frame")


if __name__ == "__main__":
    main()
