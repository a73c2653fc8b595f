"""What a user waits for: `python benchmarks/first_result.py [--config reference] [--cases eval react train stream]`.

Each command runs in a process of its own, first with an empty folder of compiled programs, then with what the first run
left there: seconds on the wall until it ends, and CPU time, which most of it is compilation. Data, random weights and
outputs go to a temporary folder. `eval` answers 2 clips of 64 frames, `react` a video of as many, `train` makes one
step, `stream` one window.
"""

import argparse
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import reactface_jax as rf
from data_pipeline.loader import open_shards
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.config import Config, load_config
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.state import TrainState
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.weights.run import About

CASES = ("eval", "react", "train", "stream")
FRAMES = 64


def random_params(config: Config) -> dict:
    """Drawn by numpy: nothing of the time depends on them."""
    model, side, frames = rf.build_model(config.model), config.data.image_size, config.model.window
    video = jax.ShapeDtypeStruct((1, frames, side, side, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    rng = np.random.default_rng(0)

    def draw(x: jax.ShapeDtypeStruct) -> np.ndarray:
        width = max(float(np.prod(x.shape[:-1])), 1.0) ** 0.5
        return (rng.standard_normal(x.shape) / width if len(x.shape) > 1 else np.ones(x.shape)).astype(np.float32)

    return jax.tree.map(draw, jax.eval_shape(model.lazy_init, keys, video, audio)["params"])


def prepare(folder: Path, name: str) -> dict[str, list[str]]:
    """Makes conversations, shards and a run; returns the words of each case."""
    raw, shards, run = folder / "raw", folder / "shards", folder / "run"
    seconds = str(FRAMES / 25)
    reactface("dyads", "--out", str(raw), "--clips", "6", "--seconds", seconds, "--takes", "1", "--seed", "0")
    reactface("prepare", "shards", "--raw", str(raw), "--out", str(shards))
    config = load_config(name, ["--data.dir", str(shards), "--data.eval-frames", str(FRAMES)])
    data = open_shards(shards)
    about = About(config, data.mean_face, tuple(data.description["coefficient_names"]))
    state = TrainState.create(random_params(config), optax.sgd(0), jax.random.key(0))
    run.mkdir()
    with Checkpoints(run, keep=1) as checkpoints:
        checkpoints.save(1, state, about)
    (video, *_) = sorted(raw.rglob("*.mp4"))
    react = ["--renderer", "none", "--out", str(folder / "answer"), "--overwrite"]
    evaluate = ["--out", str(folder / "evaluation"), "--overwrite", "--page-clips", "0"]
    length = ["--data.clip-frames", str(FRAMES), "--train.batch-size", "1", "--train.steps", "1"]
    train = ["--config", name, "--data.dir", str(shards), "--workdir", str(folder / "trained"), "--overwrite"]
    return {
        "eval": ["eval", "--checkpoint", str(run), *evaluate],
        "react": ["react", "--speaker", str(video), "--checkpoint", str(run), *react],
        "train": ["train", *train, *length, "--train.eval-clips", "1", "--data.eval-frames", str(FRAMES)],
        "stream": [],
    }


def reactface(*words: str, **environment: str) -> None:
    command = [sys.executable, "-m", "reactface_jax", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with code {done.returncode}:\n{done.stderr[-2000:]}")


def stream_one_window(name: str) -> None:
    """The first window of a conversation, as a process of its own does it."""
    keep_compiled_programs()
    config = load_config(name)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, causal=True))
    side, width = config.data.image_size, config.model.window
    params = random_params(config)
    model = rf.build_model(config.model)
    state = rf.stream.start(model, params, 1, 1, image_size=side)
    video, sound = np.zeros((1, width, side, side, 3), np.float32), np.zeros((1, width * SAMPLES_PER_FRAME), np.float32)
    start = time.perf_counter()
    jax.block_until_ready(rf.stream.step(model, params, state, video, sound, key=jax.random.key(0)))
    print(f"first window {time.perf_counter() - start:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="reference")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--window", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    if arguments.window:
        stream_one_window(arguments.config)
        return
    figures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words = prepare(folder, arguments.config)
        for case in arguments.cases:
            programs = folder / "programs"
            shutil.rmtree(programs, ignore_errors=True)
            for turn in ("first", "second"):
                kept = {"JAX_COMPILATION_CACHE_DIR": str(programs)}
                before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                if case == "stream":
                    command = [sys.executable, __file__, "--window", "--config", arguments.config]
                    subprocess.run(command, check=True, env={**os.environ, **kept})
                else:
                    reactface(*words[case], **kept)
                wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                kept_programs = sum(1 for _ in programs.glob("*-cache"))
                row = {"case": case, "use": turn, "seconds": wall, "cpu_seconds": cpu, "programs": kept_programs}
                figures.append(row)
                print(f"{case:8}{turn:8}{wall:8.1f} s  {cpu:8.1f} s of CPU  {kept_programs} programs kept", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
