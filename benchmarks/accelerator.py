"""Everything that a card has to say, in one command: `python -m benchmarks.accelerator --out FOLDER [--minutes 9]`.

Window latency, ten reactions, attention by XLA and by cuDNN, parity of a golden at each precision, the training step,
the portrait renderer, the first convolutions in their forms (and PyTorch's, if it sees the card), validation of whole
clips, three changes to the training step, and the measures. Parts run in that order until the time is up; a part that
fails or finds no time left is named, and the others go on. Most of the time is compilation; a second run loads the
programs that the first one left in the cache, and a part then says how many it loaded. FOLDER gets accelerator.json and
accelerator.md, whose rows stand in docs/performance.md as they are: send them back. `--toy` takes sizes for a test on a
CPU.
"""

import argparse
import dataclasses
import json
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
from benchmarks import convolution_forms, planned_programs
from benchmarks.metrics import people
from benchmarks.timing import milliseconds, seconds
from benchmarks.train_step import measure as measure_step
from benchmarks.train_step import random_values
from reactface_jax import convert, metrics
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.config import AudioConfig, Config, ModelConfig, load_config
from reactface_jax.rendering.portrait.model import WINDOW, PIRender
from reactface_jax.rendering.portrait.portrait import PortraitRenderer
from reactface_jax.training.dry_run import memory_of
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME
from reactface_jax.weights.run import versions
from reactface_jax.worker_pool import num_cores

ROOT = Path(__file__).parents[1]
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of what is measured."""

    config: str = "reference"
    flags: tuple[str, ...] = ("--model.dtype", "bfloat16")
    changes: tuple[tuple[str, ...], ...] = (
        ("--train.batch-size", "16"),
        ("--model.dtype", "float32", "--train.batch-size", "4"),
        ("--model.video-chunk", "64"),
    )
    clip: tuple[int, int] = (256, 224)
    """Frames and their side."""
    channels: int = 128
    conversations: tuple[int, ...] = (1, 64)
    windows: int = 50
    attention: tuple[int, int, int, int] = (8, 512, 12, 64)
    """Clips, speech frames, heads, a head's width."""
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
    attention=(1, 8, 2, 8),
    drawn=2,
    narrower=8,
    measured=(4, 4, 60),
)


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
    names = {"clip": ("eps", "listener_3dmm"), "window": ("online_window_eps", "online_window_3dmm")}
    for precision, dtype, protocols in (
        ("auto", "float32", ("clip", "window")),
        ("default", "float32", ("clip",)),
        ("default", "bfloat16", ("clip",)),
    ):
        config = ModelConfig(
            feature_dim=meta["feature_dim"],
            window=meta["window"],
            momentum=meta["momentum"],
            audio=audio,
            precision=precision,
            dtype=dtype,
        )
        model, params = rf.build_model(config), convert.reactface(weights, config)
        for protocol in protocols:
            noise, name = names[protocol]
            start = time.perf_counter()
            found = rf.generate(
                model, params, np.moveaxis(video, 2, -1), sound, protocol=protocol, noise=golden[noise][:, None]
            )
            largest = np.abs(np.asarray(found)[:, 0] - golden[name]).max() / np.abs(golden[name]).max()
            row = {"precision": precision, "dtype": dtype, "protocol": protocol, "difference": float(largest)}
            yield row | {"compilation_and_run": time.perf_counter() - start}


def convolutions(sizes: Sizes) -> Iterator[Row]:
    """Milliseconds of conv1 and conv2 over one clip: forward, the kernel's gradient, the input's."""
    yield from convolution_forms.measured(*sizes.clip, sizes.channels)


def training(sizes: Sizes) -> Iterator[Row]:
    """The step of a configuration; its gradients of a whole batch."""
    yield _training_step(sizes, ())


def training_changes(sizes: Sizes) -> Iterator[Row]:
    """The same with changes, each by itself. The peak of memory is the highest of all that ran before, too."""
    for change in sizes.changes:
        yield _training_step(sizes, change)


def _training_step(sizes: Sizes, change: tuple[str, ...]) -> Row:
    config = load_config(sizes.config, [*sizes.flags, *change])
    found = measure_step(config, steps=5, peak=None, plan=False, profile=False)
    names = (
        "compilation",
        "step",
        "frames_a_second",
        "speed",
        "utilisation",
        "planned_memory_of_a_device",
        "peak_memory",
    )
    return {"change": " ".join(change) or "none", "clips": config.train.batch_size} | {n: found[n] for n in names}


def validation(sizes: Sizes) -> Iterator[Row]:
    """A batch of whole clips answered by the configuration's protocol and compared; memory is XLA's plan."""
    config = load_config(sizes.config, list(sizes.flags))
    planned = planned_programs.validation(config, jax.devices()[:1])
    start = time.perf_counter()
    compiled = planned.function.lower(*planned.shapes).compile()
    compilation = time.perf_counter() - start
    rng = np.random.default_rng(0)
    values = jax.tree.map(lambda x: jax.device_put(random_values(x, rng), x.sharding), planned.shapes)
    yield {
        "protocol": config.eval.protocol,
        "clips": config.train.batch_size,
        "frames": config.data.eval_frames,
        "reactions": config.eval.num_reactions,
        "compilation": compilation,
        "seconds": seconds(lambda: compiled(*values), 2),
        "planned_gib": memory_of(compiled).peak / 2**30,
    }


def attention(sizes: Sizes) -> Iterator[Row]:
    """wav2vec 2.0's attention of a training batch in bfloat16, milliseconds; difference from XLA's over the largest."""
    rng = np.random.default_rng(0)
    operands = [jnp.asarray(rng.standard_normal(sizes.attention), jnp.bfloat16) for _ in range(3)]
    exact = None
    for name in ("xla", "cudnn") if jax.default_backend() == "gpu" else ("xla",):

        def attend(query: Any, key: Any, value: Any, name: Any = name) -> Any:
            return jax.nn.dot_product_attention(query, key, value, implementation=name)

        def loss(*operands: Any, attend: Callable[..., Any] = attend) -> Any:
            return attend(*operands).astype(jnp.float32).sum()

        forward, gradient = jax.jit(attend), jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
        row = {
            "by": name,
            "forward": milliseconds(forward, *operands),
            "gradients": milliseconds(gradient, *operands),
        }
        found = np.asarray(forward(*operands), np.float32)
        exact = found if exact is None else exact
        yield row | {"difference": f"{np.abs(found - exact).max() / np.abs(exact).max():.1e}"}


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
    yield {"clips": clips, "seconds": time.perf_counter() - start, "cores": num_cores()}


PARTS: tuple[Callable[[Sizes], Iterator[Row]], ...] = (
    windows,
    ten_reactions,
    attention,
    parity,
    training,
    rendering,
    convolutions,
    validation,
    training_changes,
    measures,
)


class Loaded:
    """How many programs came from the cache, where an earlier run or part left them; a context manager."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Loaded":
        jax.monitoring.register_event_listener(self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        jax.monitoring.unregister_event_listener(self._hear)

    def _hear(self, event: str, **more: Any) -> None:
        self.count += event == "/jax/compilation_cache/cache_hits"


def markdown(figures: dict[str, Any]) -> str:
    """A table a part."""
    lines = [f"`python -m benchmarks.accelerator`: {figures['device']}, {figures['day']}, jax {figures['jax']}", ""]
    for name, part in figures["parts"].items():
        lines += [f"**{name.replace('_', ' ')}**: {part['what']}", ""]
        if rows := part["rows"]:
            lines += ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
            lines += ["| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in rows] + [""]
        if part["loaded"]:
            lines += [f"Programs that were loaded from the cache instead of compiled: {part['loaded']}.", ""]
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
    sizes = TOY if arguments.toy else Sizes()
    for part in PARTS:
        if arguments.parts and part.__name__ not in arguments.parts:
            continue
        figures["parts"][part.__name__] = measured(part, sizes, end, started=bool(figures["parts"]))
        (arguments.out / "accelerator.json").write_text(json.dumps(figures, indent=1) + "\n")
        (arguments.out / "accelerator.md").write_text(markdown(figures) + "\n")


def measured(part: Callable[[Sizes], Iterator[Row]], sizes: Sizes, end: float, started: bool) -> dict[str, Any]:
    """A part's rows until the time is up, and what is missing.

    Args:
      part: one of `PARTS`.
      sizes: its argument.
      end: when the time is up, by `time.monotonic`.
      started: whether another part came before; the first one gives a row in any case.
    """
    rows: list[Row] = []
    missing, start = "", time.monotonic()
    with Loaded() as loaded:
        if started and start > end:
            missing = "all of it, since the time was up"
        else:
            try:
                for row in part(sizes):
                    rows.append(row)
                    print(part.__name__, json.dumps(row), flush=True)
                    if time.monotonic() > end:
                        missing = "rows that come after these, if there are any, since the time was up"
                        break
            except Exception as error:  # a card's fault in one part leaves the others
                traceback.print_exc()
                first, *_ = str(error).splitlines() or [""]
                missing = f"the rest, since it failed: {type(error).__name__}: {first[:200]}"
    what = (part.__doc__ or part.__name__).strip().splitlines()[0]
    took = time.monotonic() - start
    return {"what": what, "rows": rows, "missing": missing, "loaded": loaded.count, "seconds": took}


if __name__ == "__main__":
    main()
