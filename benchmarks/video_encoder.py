"""F-Enc's convolutions in each of their forms: `python benchmarks/video_encoder.py [--frames 8] [--size 224]`.

The forms' gradients are XLA's, from the forward pass on; `products` is the kernel's gradient alone, as it is used.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp

from reactface_jax.models.convolution import folded, native, summed
from reactface_jax.models.kernel_gradient import kernel_gradient


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--feature-dim", type=int, default=128)
    arguments = parser.parse_args()
    dim, frames = arguments.feature_dim, arguments.frames
    pooled = (arguments.size // 2 - 3) // 2 + 1
    layers = {
        "conv1": ((arguments.size, 3), (5, 7, 7, 3, dim // 4), 2),
        "conv2": ((pooled, dim // 4), (5, 7, 7, dim // 4, dim), 2),
        "conv3": ((28, dim), (3, 3, 3, dim, dim), 2),
        "conv4": ((14, dim), (3, 3, 3, dim, dim), 1),
        "conv5": ((14, dim), (3, 3, 3, dim, dim), 2),
    }
    print(f"{jax.devices()[0].device_kind}, {frames} frames of {arguments.size}x{arguments.size}, D = {dim}; ms")
    print(f"{'layer':8}{'form':10}{'forward':>10}{'gradient of the kernel':>26}")
    for name, ((size, channels), kernel_shape, stride) in layers.items():
        x = jax.random.normal(jax.random.key(0), (1, frames, size, size, channels))
        kernel = jax.random.normal(jax.random.key(1), kernel_shape)
        for form in (native, folded, summed):
            convolve = functools.partial(form, stride=stride)
            forward = seconds(convolve, x, kernel)
            gradient = seconds(jax.grad(lambda k, x, f=convolve: jnp.square(f(x, k)).sum()), kernel, x)
            print(f"{name:8}{form.__name__:10}{1e3 * forward:10.1f}{1e3 * gradient:26.1f}")
        y = jax.eval_shape(functools.partial(native, stride=stride), x, kernel)
        cotangent = jax.random.normal(jax.random.key(2), y.shape)
        products = functools.partial(kernel_gradient, shape=kernel_shape, stride=stride)
        print(f"{name:8}{'products':10}{'':10}{1e3 * seconds(products, x, cotangent):26.1f}")


if __name__ == "__main__":
    main()
