"""One training step of a named case: `python -m benchmarks.train_step comparison [--steps 3] [--json FILE]`.

Cases: `comparison`, the work that the authors' step was timed on (one clip of 64 frames of 224x224, wav2vec2-base,
windows of 16, float32); `full`, the reference's batch (8 clips of 256 frames, windows of 64) in bfloat16; `demo` and
`tiny`, the configurations of these names.
`--plan` compiles, prints XLA's plan of memory and ends; `--profile` adds where a step's time goes. Every field of the
configuration is a flag too.

Time on the wall is meaningful only on an otherwise idle machine; CPU time is that of both cores together.
Arithmetic is counted from the program before XLA sees it, with every turn of a loop and nothing twice: what the model
needs, not what a backend makes of it. Utilisation compares it with `--peak` (TFLOP/s of one device), by default with
what a matrix product reaches here, times the number of devices.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import json
import math
import resource
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from benchmarks.profiling import time_by_part
from reactface_jax.config import Config, load_config
from reactface_jax.training.dry_run import memory_of
from reactface_jax.training.methods import make_objective
from reactface_jax.training.program import Program, make_program
from reactface_jax.training.sharding import make_mesh, place_batch
from reactface_jax.weights.run import versions

CONFIGS = Path(__file__).parents[1] / "configs"
CASES = {
    "comparison": (
        "reference.py",
        ["--train.batch-size", "1", "--data.clip-frames", "64", "--train.window", "16", "--data.max-neighbours", "8"],
    ),
    "full": ("reference.py", ["--model.dtype", "bfloat16", "--model.video-chunk", "16", "--model.remat", "layers"]),
    "demo": ("demo.py", []),
    "tiny": ("tiny.py", []),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--steps", type=int, default=3, help="that are timed, after one that is not")
    parser.add_argument("--plan", action="store_true", help="compile, print the memory, and end")
    parser.add_argument("--profile", action="store_true", help="time by part of the model, from one more step")
    parser.add_argument("--peak", type=float, help="TFLOP/s of one device; default: a matrix product's, measured")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON too")
    arguments, words = parser.parse_known_args()
    file, overrides = CASES[arguments.case]
    config = load_config(CONFIGS / file, [*overrides, *words])
    figures = measure(config, arguments.steps, arguments.peak, arguments.plan, arguments.profile)
    figures = {"case": arguments.case, "overrides": words, **figures, "versions": versions()}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(config: Config, steps: int, peak: float | None, plan: bool, profile: bool) -> dict[str, Any]:
    mesh = make_mesh(config=config.mesh)
    device = mesh.devices.flat[0]
    program = make_program(config, mesh)
    state, batch = program.state, program.batch
    figures: dict[str, Any] = {"device": f"{mesh.size} x {device.device_kind}", "platform": device.platform}

    def report(name: str, value: Any, unit: str = "") -> None:
        figures[name] = value
        print(f"{name.replace('_', ' ')}: {value:.4g} {unit}" if isinstance(value, float) else f"{name}: {value}")

    print(f"{figures['device']} ({device.platform})")
    flops = flops_of_step(config, program)
    report("arithmetic_of_a_step", flops / 1e9, "GFLOP")
    start, cpu = time.perf_counter(), time.process_time()
    compiled = program.step.lower(state, batch).compile()
    report("compilation", time.perf_counter() - start, "s")
    report("compilation_CPU_time", time.process_time() - cpu, "s")
    memory = memory_of(compiled)
    report("planned_memory_of_a_device", memory.peak / 2**30, f"GiB, by XLA's analysis for {device.platform}")
    report("of_which_temporary", memory.temporaries / 2**30, "GiB")
    if plan:
        return figures

    rng = np.random.default_rng(0)
    values = jax.device_put(jax.tree.map(lambda x: random_values(x, rng), state), program.placement)
    clips = jax.tree.map(lambda x: random_values(x, rng), batch)
    clips = place_batch(clips._replace(neighbour_mask=np.ones(batch.neighbour_mask.shape, bool)), mesh)
    values, metrics = compiled(values, clips)
    loss = float(metrics["loss"])
    _forget_peak_memory()
    times, cpu_times = [], []
    for _ in range(steps):
        start, cpu = time.perf_counter(), time.process_time()
        values, metrics = compiled(values, clips)
        jax.block_until_ready((values, metrics))
        times.append(time.perf_counter() - start)
        cpu_times.append(time.process_time() - cpu)
    used = _peak_memory()
    assert math.isfinite(loss), "a benchmark of numbers that are not finite"
    seconds = float(np.median(times))
    frames = config.train.batch_size * config.data.clip_frames
    report("step", seconds, "s (median)")
    report("fastest_step", min(times), "s")
    report("CPU_time_of_a_step", float(np.median(cpu_times)), "s")
    report("clips_a_second", config.train.batch_size / seconds)
    report("frames_a_second", frames / seconds)
    report("speed", flops / seconds / 1e12, "TFLOP/s")
    best = best_speed(mesh.size, config.model.dtype, peak)
    report("peak_compared_with", best, "TFLOP/s" + ("" if peak else ", a matrix product's"))
    report("utilisation", flops / seconds / 1e12 / best)
    if stats := device.memory_stats():
        report("peak_memory", stats["peak_bytes_in_use"] / 2**30, "GiB on the device")
    else:
        report("peak_memory", used / 2**30, "GiB, the whole process while it trains")
        whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        report("peak_memory_with_compilation", whole, "GiB, the whole process")
    if profile:
        parts = time_by_part(compiled, lambda: compiled(values, clips))
        figures["seconds_by_part"] = dict(parts)
        print("where the time goes (operations that run at the same time count twice), s:")
        print("\n".join(f"{part_seconds:9.3f}  {part}" for part, part_seconds in parts[:30]))
    return figures


def _forget_peak_memory() -> None:
    """What was freed goes back to the system, and the peak counts from here (Linux only)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """Bytes that this process has held at once, since the last `_forget_peak_memory`."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def random_values(x: Any, rng: np.random.Generator) -> Any:
    """Numbers of a harmless size without a program that draws them: what a step costs does not depend on them."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    if x.dtype == np.uint8:
        return rng.integers(0, 256, x.shape, np.uint8)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return np.zeros(x.shape, x.dtype)
    if x.ndim < 2:
        return np.full(x.shape, 0.1, x.dtype)
    return rng.standard_normal(x.shape, np.float32) / np.float32(math.sqrt(math.prod(x.shape[:-1])))


def matrix_product_speed(dtype: str, size: int = 4096) -> float:
    """FLOP/s of a large matrix product on one device; on a CPU a smaller one."""
    size = size // 2 if jax.default_backend() == "cpu" else size
    x = jnp.ones((size, size), "float32" if jax.default_backend() == "cpu" else dtype)
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        product(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def best_speed(devices: int, dtype: str, peak: float | None = None) -> float:
    """What a step's speed is compared with, in TFLOP/s of all devices together.

    Args:
      devices: on which the step runs.
      dtype: of the matrix product that is measured on one of them.
      peak: TFLOP/s of one of them, instead of the measured.
    """
    return devices * (matrix_product_speed(dtype) / 1e12 if peak is None else peak)


def flops_of_step(config: Config, program: Program) -> int:
    """Multiplications and additions of a step on all devices together; what is computed again counts once."""
    once = dataclasses.replace(config, model=dataclasses.replace(config.model, remat="none", video_chunk=0))
    gradient, state = make_objective(once).gradient, program.state
    return count_flops(jax.make_jaxpr(gradient)(state.variables, program.batch, state.key, state.step).jaxpr)


def count_flops(jaxpr: Jaxpr) -> int:
    """Multiplications and additions of matrix products and convolutions, loops multiplied by their turns.

    Where a program chooses by platform, the last branch counts, which is the accelerators' form of convolutions.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)
        elif name == "conv_general_dilated":
            kernel, spec = equation.invars[1].aval.shape, parameters["dimension_numbers"].rhs_spec
            taps = math.prod(kernel) // kernel[spec[0]]  # a group's input channels times pixels
            holes = math.prod(parameters["lhs_dilation"])
            total += 2 * math.prod(equation.outvars[0].aval.shape) * taps // holes
        elif name == "cond":
            total += count_flops(parameters["branches"][-1].jaxpr)
        else:
            turns = parameters["length"] if name == "scan" else 1
            inner = [x for x in jax.tree.leaves(parameters, is_leaf=_is_jaxpr) if _is_jaxpr(x)]
            total += turns * sum(count_flops(x.jaxpr if isinstance(x, ClosedJaxpr) else x) for x in inner)
    return total


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, Jaxpr | ClosedJaxpr)


if __name__ == "__main__":
    main()
