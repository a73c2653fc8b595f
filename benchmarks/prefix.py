"""The authors' evaluation, protocol `prefix`, at full size: `python benchmarks/prefix.py [--frames 128 256]`.

The speaker is encoded again in every window, once for all reactions, in a buffer that grows by segments. Random weights
and random input; nothing of the time depends on either.
"""

import argparse
import resource
import time

import jax
import numpy as np
from streaming import random_params

import reactface_jax as rf
from reactface_jax.config import load_config
from reactface_jax.types import SAMPLES_PER_FRAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/reference.py")
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--reactions", type=int, default=10)
    parser.add_argument("--size", type=int, default=224)
    arguments = parser.parse_args()
    words = [f"--model.window={arguments.window}", f"--train.window={arguments.window}"]
    model = rf.build_model(load_config(arguments.config, words).model)
    params = random_params(model)
    print(f"{jax.devices()[0].device_kind}, windows of {arguments.window} frames, {arguments.reactions} reactions")
    rng = np.random.default_rng(0)
    for frames in arguments.frames:
        video = rng.uniform(-1, 1, (1, frames, arguments.size, arguments.size, 3)).astype(np.float32)
        audio = rng.standard_normal((1, frames * SAMPLES_PER_FRAME)).astype(np.float32)
        for turn in ("with compilation", ""):
            start, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(
                rf.generate(
                    model,
                    params,
                    video,
                    audio,
                    protocol="prefix",
                    num_reactions=arguments.reactions,
                    key=jax.random.key(0),
                )
            )
            wall = time.perf_counter() - start
            print(
                f"{frames} frames: {wall:.1f} s, {1e3 * wall * arguments.window / frames:.0f} ms a window, "
                f"CPU time {time.process_time() - cpu:.1f} s {turn}",
                flush=True,
            )
    print(f"memory at its highest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
