"""F-Enc's first convolutions in their forms, and PyTorch's if it sees the card: for `benchmarks/accelerator.py`."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import milliseconds, seconds
from reactface_jax.ops import convolution


def measured(frames: int, side: int, width: int) -> Iterator[dict[str, Any]]:
    """Milliseconds of conv1 and conv2 over one clip: forward, the kernel's gradient, the input's, each by itself.

    Args:
      frames: of the clip.
      side: of its square frames.
      width: features of F-Enc's last layers; conv1 has a quarter of them.
    """
    pooled = max(((side + 1) // 2 - 3) // 2 + 1, 8)
    layers = {"conv1": (side, 3, width // 4), "conv2": (pooled, width // 4, width)}
    forms = {
        "native": convolution.native,
        "folded": convolution.folded,
        "over blocks of pixels": lambda x, kernel, stride: convolution.blocked(x, kernel),
        "a convolution a tap": lambda x, kernel, stride: convolution.tiled(x, kernel, stride, tile=1),
    }
    for layer, (edge, channels, features) in layers.items():
        for name, dtype, precision in (
            ("float32", jnp.float32, "highest"),
            ("backend's default", jnp.float32, None),
            ("bfloat16", jnp.bfloat16, None),
        ):
            rng = np.random.default_rng(0)
            x = jnp.asarray(rng.standard_normal((1, frames, edge, edge, channels)), dtype)
            kernel = jnp.asarray(rng.standard_normal((5, 7, 7, channels, features)) / 100, dtype)
            for form, convolve in forms.items():

                def forward(x: Any, kernel: Any, convolve: Callable[..., Any] = convolve) -> Any:
                    return convolve(x, kernel, 2)

                def gradient(of: int, forward: Callable[..., Any] = forward) -> Callable[..., Any]:
                    return jax.jit(jax.grad(lambda *both: forward(*both).astype(jnp.float32).sum(), argnums=of))

                with jax.default_matmul_precision(precision):
                    runs = {"forward": jax.jit(forward), "kernel": gradient(1), "input": gradient(0)}
                    times = {what: milliseconds(run, x, kernel) for what, run in runs.items()}
                yield {"layer": layer, "numbers": name, "form": form, **times}
            yield from _of_pytorch(layer, name, np.asarray(x, np.float32), np.asarray(kernel, np.float32))


def _of_pytorch(
    layer: str, name: str, x: np.ndarray, kernel: np.ndarray, device: str = "cuda"
) -> Iterator[dict[str, Any]]:
    if importlib.util.find_spec("torch") is None:
        return
    torch = importlib.import_module("torch")  # by name: only the conversion needs it
    if device == "cuda" and not torch.cuda.is_available():
        return
    torch.backends.cudnn.allow_tf32 = name == "backend's default"
    torch.backends.cudnn.benchmark = True
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    clip = torch.tensor(np.moveaxis(x, -1, 1), device=device, dtype=dtype, requires_grad=True)
    weight = torch.tensor(np.transpose(kernel, (4, 3, 0, 1, 2)).copy(), device=device, dtype=dtype, requires_grad=True)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def forward() -> Any:
        y = torch.nn.functional.conv3d(clip, weight, stride=(1, 2, 2), padding=(2, 3, 3))
        wait()
        return y

    y = forward()  # once for both gradients: XLA computes them without it
    ones = torch.ones_like(y)

    def gradient(of: Any) -> None:
        torch.autograd.grad(y, of, ones, retain_graph=True)
        wait()

    runs = {"forward": forward, "kernel": lambda: gradient(weight), "input": lambda: gradient(clip)}
    yield {"layer": layer, "numbers": name, "form": "PyTorch", **{k: 1e3 * seconds(f, 3) for k, f in runs.items()}}
