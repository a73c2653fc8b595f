"""Everything that a card has to say, in one command: `python -m benchmarks.accelerator --out FOLDER [--minutes 9]`.

Parity of a golden at each precision, the training step and three changes to it, the first convolutions in their forms
(and PyTorch's, if it sees the card), window latency, ten reactions, the portrait renderer, and the measures. Parts run
in that order until the time is up; a part that fails or finds no time left is named, and the others go on. FOLDER gets
accelerator.json and accelerator.md, whose rows stand in docs/performance.md as they are: send them back. `--toy` takes
sizes for a test on a CPU.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import runpy
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import reactface_jax as rf
from benchmarks.metrics import people
from benchmarks.train_step import matrix_product_speed
from benchmarks.train_step import measure as measure_step
from reactface_jax import convert, metrics
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.config import AudioConfig, Config, ModelConfig, load_config
from reactface_jax.ops import convolution
from reactface_jax.rendering.portrait.model import WINDOW, PIRender
from reactface_jax.rendering.portrait.portrait import PortraitRenderer
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME
from reactface_jax.weights.run import versions

ROOT = Path(__file__).parents[1]
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of what is measured."""

    config: str = "reference"
    flags: tuple[str, ...] = ("--model.dtype", "bfloat16")
    changes: tuple[tuple[str, ...], ...] = (
        ("--model.video-chunk", "64"),
        ("--train.batch-size", "16"),
        ("--model.dtype", "float32", "--train.batch-size", "4"),
    )
    clip: tuple[int, int] = (256, 224)
    """Frames and their side."""
    channels: int = 128
    conversations: tuple[int, ...] = (1, 64)
    windows: int = 50
    drawn: int = 64
    narrower: int = 1
    measured: tuple[int, int, int] = (96, 80, 750)
    """Clips, neighbours, frames."""


TOY = Sizes(
    config="tiny",
    flags=(),
    changes=(("--model.remat", "layers"),),
    clip=(8, 16),
    channels=16,
    conversations=(1,),
    windows=2,
    drawn=2,
    narrower=8,
    measured=(4, 4, 60),
)


def seconds(run: Callable[[], Any], times: int = 5) -> float:
    """The median of some runs after one that compiles."""
    jax.block_until_ready(run())
    found = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(run())
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def parity(sizes: Sizes) -> Iterator[Row]:
    """Largest difference from the authors' code over the largest magnitude, golden reactface_a."""
    folder = ROOT / "tests" / "goldens"
    fill = runpy.run_path(str(folder / "fill.py"))["fill"]
    golden = dict(np.load(folder / "reactface_a.npz"))
    meta = json.loads(str(golden["meta"]))
    audio = AudioConfig(num_layers=2, intermediate_size=64, conv_dim=16, num_conv_pos_embeddings=16)
    shapes = json.loads((folder / "reactface_spec_d64.json").read_text())
    weights = {name: fill(name, tuple(shape), meta["seed"]) for name, shape in shapes.items()}
    rng = np.random.default_rng([0, 1])
    video = rng.uniform(-1, 1, (meta["B"], meta["T"], 3, meta["H"], meta["H"])).astype(np.float32)
    sound = rng.standard_normal((meta["B"], 640 * meta["T"])).astype(np.float32)
    protocols = {"clip": ("eps", "listener_3dmm"), "window": ("online_window_eps", "online_window_3dmm")}
    for precision, dtype in (("auto", "float32"), ("default", "float32"), ("default", "bfloat16")):
        config = ModelConfig(
            feature_dim=meta["feature_dim"],
            window=meta["window"],
            momentum=meta["momentum"],
            audio=audio,
            precision=precision,
            dtype=dtype,
        )
        model, params = rf.build_model(config), convert.reactface(weights, config)
        for protocol, (noise, name) in protocols.items():
            found = rf.generate(
                model, params, np.moveaxis(video, 2, -1), sound, protocol=protocol, noise=golden[noise][:, None]
            )
            largest = np.abs(np.asarray(found)[:, 0] - golden[name]).max() / np.abs(golden[name]).max()
            yield {"precision": precision, "dtype": dtype, "protocol": protocol, "difference": float(largest)}


def convolutions(sizes: Sizes) -> Iterator[Row]:
    """Milliseconds of conv1 and conv2 over one clip: forward, the kernel's gradient, the input's."""
    frames, side = sizes.clip
    pooled = max(((side + 1) // 2 - 3) // 2 + 1, 8)
    layers = {"conv1": (side, 3, sizes.channels // 4), "conv2": (pooled, sizes.channels // 4, sizes.channels)}
    forms = {
        "native": convolution.native,
        "folded": convolution.folded,
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
                    times = {what: _milliseconds(run, x, kernel) for what, run in runs.items()}
                yield {"layer": layer, "numbers": name, "form": form, **times}
            yield from _of_pytorch(layer, name, np.asarray(x, np.float32), np.asarray(kernel, np.float32))


def _milliseconds(run: Callable[..., Any], *operands: Any) -> float:
    return 1e3 * seconds(lambda: run(*operands), 3)


def _of_pytorch(layer: str, name: str, x: np.ndarray, kernel: np.ndarray) -> Iterator[Row]:
    if importlib.util.find_spec("torch") is None:
        return
    torch = importlib.import_module("torch")  # by name: only the conversion needs it
    if not torch.cuda.is_available():
        return
    torch.backends.cudnn.allow_tf32 = name == "backend's default"
    torch.backends.cudnn.benchmark = True
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    clip = torch.tensor(np.moveaxis(x, -1, 1), device="cuda", dtype=dtype, requires_grad=True)
    weight = torch.tensor(np.transpose(kernel, (4, 3, 0, 1, 2)).copy(), device="cuda", dtype=dtype, requires_grad=True)

    def run(*wanted: Any) -> None:
        y = torch.nn.functional.conv3d(clip, weight, stride=(1, 2, 2), padding=(2, 3, 3))
        if wanted:
            torch.autograd.grad(y.float().sum(), wanted)
        torch.cuda.synchronize()

    runs = {"forward": lambda: run(), "kernel": lambda: run(weight), "input": lambda: run(clip)}
    yield {"layer": layer, "numbers": name, "form": "PyTorch", **{k: 1e3 * seconds(f, 3) for k, f in runs.items()}}


def training(sizes: Sizes) -> Iterator[Row]:
    """The step of a configuration, and of changes to it; gradients of the first run include its forward pass."""
    peak = matrix_product_speed("bfloat16") / 1e12
    for change in ((), *sizes.changes):
        config = load_config(sizes.config, [*sizes.flags, *change])
        found = measure_step(config, steps=5, peak=peak, plan=False, profile=False)
        names = ("compilation", "step", "frames_a_second", "speed", "utilisation", "peak_memory")
        yield {"change": " ".join(change) or "none", "clips": config.train.batch_size} | {n: found[n] for n in names}


def _streaming(sizes: Sizes, num_reactions: int, conversations: int) -> Row:
    config: Config = load_config(sizes.config, list(sizes.flags))
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, causal=True))
    model, side, width = rf.build_model(config.model), config.data.image_size, config.model.window
    rng = np.random.default_rng(0)
    video = jnp.asarray(rng.uniform(-1, 1, (conversations, width, side, side, 3)), jnp.float32)
    sound = jnp.asarray(rng.standard_normal((conversations, width * SAMPLES_PER_FRAME)), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    shapes = jax.eval_shape(model.lazy_init, keys, video[:1], sound[:1])["params"]
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.standard_normal(x.shape) / np.sqrt(max(np.prod(x.shape[:-1]), 1)), x.dtype), shapes
    )
    noise = jnp.zeros((conversations, num_reactions, config.model.feature_dim))
    state = rf.stream.start(model, params, conversations, num_reactions, image_size=side)
    times = []
    for _ in range(3 + sizes.windows):
        start = time.perf_counter()
        state, y = rf.stream.step(model, params, state, video, sound, noise=noise)
        jax.block_until_ready(y)
        times.append(time.perf_counter() - start)
    p50, p99 = (1e3 * float(np.percentile(times[3:], share)) for share in (50, 99))
    return {
        "conversations": conversations,
        "reactions": num_reactions,
        "first_s": times[0],
        "p50_ms": p50,
        "p99_ms": p99,
        "real_time": 1e3 * width / FRAME_RATE / p50,
    }


def windows(sizes: Sizes) -> Iterator[Row]:
    """A window of a causal model's conversation, from pictures on the device to coefficients."""
    for conversations in sizes.conversations:
        yield _streaming(sizes, 1, conversations)


def ten_reactions(sizes: Sizes) -> Iterator[Row]:
    """The same with ten reactions."""
    yield _streaming(sizes, 10, 1)


def rendering(sizes: Sizes) -> Iterator[Row]:
    """The portrait renderer at 224x224 (64x64 at toy size)."""
    side = 224 if sizes.narrower == 1 else 64
    portrait = jnp.zeros((side, side, 3))
    shapes = jax.eval_shape(
        PIRender(narrower=sizes.narrower).init, jax.random.key(0), portrait[None], jnp.zeros((1, WINDOW, 58))
    )["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.05 * rng.standard_normal(leaf.shape), jnp.float32), shapes)
    faces = rng.standard_normal((sizes.drawn, WINDOW, 58)).astype(np.float32)
    for dtype in ("float32", "bfloat16"):
        renderer = PortraitRenderer(params, portrait, dtype=dtype)
        yield {"dtype": dtype, "frames_a_second": sizes.drawn / seconds(lambda r=renderer: list(r.draw(faces)), 2)}


def measures(sizes: Sizes) -> Iterator[Row]:
    """All measures over made people; on the processor."""
    clips, neighbours, frames = sizes.measured
    rng = np.random.default_rng(0)
    prediction = people(rng, (clips, 10), frames, 10, between=0.0045, move=0.0159)
    speaker, listener = (people(rng, (clips,), frames, 10, between=0.0067, move=0.012) for _ in range(2))
    near = rng.random((clips, clips)).argsort(1).argsort(1) < neighbours
    start = time.perf_counter()
    metrics.measure(prediction, speaker, listener, near)
    yield {"clips": clips, "seconds": time.perf_counter() - start, "cores": os.cpu_count()}


PARTS: tuple[Callable[[Sizes], Iterator[Row]], ...] = (
    parity,
    training,
    convolutions,
    windows,
    ten_reactions,
    rendering,
    measures,
)


def markdown(figures: dict[str, Any]) -> str:
    """A table a part."""
    lines = [f"`python -m benchmarks.accelerator`: {figures['device']}, {figures['day']}, jax {figures['jax']}", ""]
    for name, part in figures["parts"].items():
        lines += [f"**{name.replace('_', ' ')}**: {part['what']}", ""]
        if rows := part["rows"]:
            lines += ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
            lines += ["| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in rows] + [""]
        if part["missing"]:
            lines += [f"Missing: {part['missing']}.", ""]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for accelerator.json and accelerator.md")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--toy", action="store_true", help="sizes for a test")
    parser.add_argument("--parts", nargs="+", choices=[part.__name__ for part in PARTS], help="all by default")
    arguments = parser.parse_args()
    keep_compiled_programs()
    end = time.monotonic() + 60 * arguments.minutes
    device = jax.devices()[0]
    figures: dict[str, Any] = {
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "day": time.strftime("%Y-%m-%d"),
        "jax": versions()["jax"],
        "versions": versions(),
        "parts": {},
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if arguments.parts and part.__name__ not in arguments.parts:
            continue
        rows: list[Row] = []
        missing, start = "", time.monotonic()
        try:
            for row in part(TOY if arguments.toy else Sizes()):
                rows.append(row)
                print(part.__name__, json.dumps(row), flush=True)
                if time.monotonic() > end:
                    missing = "what follows, since the time was up"
                    break
        except Exception as error:  # a card's fault in one part leaves the others
            traceback.print_exc()
            missing = f"the rest, since it failed: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        took = time.monotonic() - start
        what = (part.__doc__ or part.__name__).strip().splitlines()[0]
        figures["parts"][part.__name__] = {"what": what, "rows": rows, "missing": missing, "seconds": took}
        (arguments.out / "accelerator.json").write_text(json.dumps(figures, indent=1) + "\n")
        (arguments.out / "accelerator.md").write_text(markdown(figures) + "\n")
        if time.monotonic() > end:
            break


if __name__ == "__main__":
    main()
