"""F-Enc's convolutions in each of their forms: `python benchmarks/video_encoder.py [--frames 8] [--size 224]`.

Of native and folded the gradients are XLA's; otherwise they are those of `conv3d`.
"""

import argparse
import functools
import time

import jax

from reactface_jax.ops.convolution import conv3d, folded, native, tiled


def seconds(function, *arrays, repeats: int = 3) -> float:
    """Best of a few runs, after compilation."""
    compiled = jax.jit(function).lower(*arrays).compile()
    jax.block_until_ready(compiled(*arrays))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arrays))
        times.append(time.perf_counter() - start)
    return min(times)


def layers_of(size: int, dim: int) -> dict[str, tuple[tuple[int, int], tuple[int, ...], int]]:
    """Of F-Enc's convolutions the side and the channels of what they see, the shape of their kernels, and their stride.

    Args:
      size: of the frames' sides.
      dim: features.
    """
    pooled = ((size + 1) // 2 - 3) // 2 + 1
    half = (pooled + 1) // 2
    quarter = (half + 1) // 2
    return {
        "conv1": ((size, 3), (5, 7, 7, 3, dim // 4), 2),
        "conv2": ((pooled, dim // 4), (5, 7, 7, dim // 4, dim), 2),
        "conv3": ((half, dim), (3, 3, 3, dim, dim), 2),
        "conv4": ((quarter, dim), (3, 3, 3, dim, dim), 1),
        "conv5": ((quarter, dim), (3, 3, 3, dim, dim), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--feature-dim", type=int, default=128)
    parser.add_argument("--native", action="store_true", help="XLA's 3-D convolution too, which takes its time")
    arguments = parser.parse_args()
    dim, frames = arguments.feature_dim, arguments.frames
    print(f"{jax.devices()[0].device_kind}, {frames} frames of {arguments.size}x{arguments.size}, D = {dim}; ms")
    print(f"{'layer':8}{'form':12}{'forward':>9}{'kernel gradient':>17}{'input gradient':>16}")
    for name, ((size, channels), kernel_shape, stride) in layers_of(arguments.size, dim).items():
        x = jax.random.normal(jax.random.key(0), (1, frames, size, size, channels))
        kernel = jax.random.normal(jax.random.key(1), kernel_shape)
        y = jax.eval_shape(functools.partial(native, stride=stride), x, kernel)
        cotangent = jax.random.normal(jax.random.key(2), y.shape)
        forms = {
            "native": native,
            "folded": folded,
            "plain sum": functools.partial(conv3d, tile=1),
            "tiles of 2": functools.partial(conv3d, tile=2),
            "tiles of 4": functools.partial(conv3d, tile=4),
        }
        for form, function in forms.items():
            if form == "native" and not arguments.native:
                continue
            convolve = functools.partial(function, stride=stride)
            forward = seconds(
                functools.partial(tiled, stride=stride, tile=1) if form == "plain sum" else convolve, x, kernel
            )
            of_kernel = seconds(lambda k, x, y, f=convolve: jax.vjp(lambda k: f(x, k), k)[1](y), kernel, x, cotangent)
            of_input = seconds(lambda k, x, y, f=convolve: jax.vjp(lambda x: f(x, k), x)[1](y), kernel, x, cotangent)
            print(f"{name:8}{form:12}{1e3 * forward:9.1f}{1e3 * of_kernel:17.1f}{1e3 * of_input:16.1f}", flush=True)


if __name__ == "__main__":
    main()
