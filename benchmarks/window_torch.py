"""The authors' window by PyTorch and by JAX on one processor: `PYTHONPATH=tests python benchmarks/window_torch.py`.

Protocol `window`, in which every window is encoded by itself: F-Enc, wav2vec 2.0 and the listener's step of the
published design, at full size in float32. PyTorch runs tests/oracle, which equals the authors' code and encodes the
speaker by PyTorch's own layers. Both have the same random weights, input and noise, and the answers are compared. They
answer by turns, with one reaction. Four windows of 8 frames are what `rf.generate` encodes at once at least; a figure
is one window's share.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from oracle.reactface_torch import ReactFace
from oracle.weights import randomise

import reactface_jax as rf
from reactface_jax import convert
from reactface_jax.config import load_config
from reactface_jax.errors import reports_user_errors
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.worker_pool import num_cores

torch: Any = importlib.import_module("torch")  # by name: of the project only the conversion needs it


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/reference.py")
    parser.add_argument("--window", type=int, default=8, help="frames of a window")
    parser.add_argument("--windows", type=int, default=4, help="windows of the clip, which are encoded at once by JAX")
    parser.add_argument("--times", type=int, default=40, help="how often each answers it, after the first time")
    parser.add_argument("--size", type=int, default=224, help="height and width of the pictures")
    arguments = parser.parse_args()
    words = [f"--model.window={arguments.window}", f"--train.window={arguments.window}"]
    config = load_config(arguments.config, words).model
    oracle = ReactFace(config).eval()
    randomise(oracle)
    model, params = rf.build_model(config), convert.reactface(oracle.state_dict(), config)
    rng, frames = np.random.default_rng(0), arguments.window * arguments.windows
    video = rng.uniform(-1, 1, (1, frames, arguments.size, arguments.size, 3)).astype(np.float32)
    audio = rng.standard_normal((1, frames * SAMPLES_PER_FRAME), np.float32)
    noise = rng.standard_normal((1, 1, arguments.windows, config.feature_dim), np.float32)

    def by_torch() -> np.ndarray:
        with torch.inference_mode():
            return oracle.protocol_window(*map(torch.tensor, (video, audio, noise)))[0].numpy()

    react = jax.jit(lambda params, *given: model.apply({"params": params}, *given, method="react_to_windows")[0])

    def by_jax() -> np.ndarray:
        return np.asarray(react(params, video, audio, noise))

    print(
        f"windows of {arguments.window} frames of {arguments.size}x{arguments.size}, {num_cores()} cores, PyTorch "
        f"{torch.__version__} ({torch.get_num_threads()} threads), JAX {jax.__version__}; the answers differ by "
        f"{np.abs(by_torch() - by_jax()).max():.1e} at most"
    )
    runs = {"PyTorch": by_torch, "JAX": by_jax}
    walls: dict[str, list[float]] = {name: [] for name in runs}
    cpus: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.times):
        for name, run in runs.items():
            wall, cpu = _times(run)
            walls[name].append(1e3 * wall / arguments.windows)
            cpus[name].append(1e3 * cpu / arguments.windows)
    for name in runs:
        print(
            f"{name}: p50 {np.median(walls[name]):.0f} ms a window, least {min(walls[name]):.0f}, most "
            f"{max(walls[name]):.0f}; CPU time {np.median(cpus[name]):.0f} ms"
        )


def _times(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
