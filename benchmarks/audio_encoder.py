"""wav2vec 2.0's positional convolution and its gradients: `python benchmarks/audio_encoder.py [--frames 256]`."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from reactface_jax.ops import grouped_convolution

TAPS, GROUPS, WIDTH = 128, 16, 768


def milliseconds(function: Callable[..., Any], *arguments: Any, repeats: int = 3) -> str:
    run = jax.jit(function)
    jax.block_until_ready(run(*arguments))
    wall, cpu = np.inf, np.inf
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        jax.block_until_ready(run(*arguments))
        wall, cpu = min(wall, time.perf_counter() - start), min(cpu, time.process_time() - used)
    return f"{1e3 * wall:6.0f} ms ({1e3 * cpu:.0f} of CPU time)"


def main(frames: tuple[int, ...] = (64, 256), batch_size: int = 1) -> None:
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.standard_normal((TAPS, WIDTH // GROUPS, WIDTH)), jnp.float32)
    for count in frames:
        x, cotangent = (jnp.asarray(rng.standard_normal((batch_size, 2 * count, WIDTH)), jnp.float32) for _ in range(2))
        for name, form in (("native", grouped_convolution.native), ("ours", grouped_convolution.grouped_conv)):

            def conv(x: Any, kernel: Any, form: Callable[..., Any] = form) -> Any:
                return form(x, kernel, (TAPS // 2, TAPS // 2 - 1), GROUPS)

            def gradients(x: Any, kernel: Any, y: Any, conv: Callable[..., Any] = conv) -> Any:
                return jax.vjp(conv, x, kernel)[1](y)

            print(f"{batch_size} x {count} video frames, {name}: forward {milliseconds(conv, x, kernel)}")
            print(f"{'':>30} gradients {milliseconds(gradients, x, kernel, cotangent)}", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
