"""What F-Enc sees: its features of test clips, read by a linear map, against the speaker's true coefficients.

    python benchmarks/seeing.py --data SHARDS --steps 600         # F-Enc by itself, as in the warm-up
    python benchmarks/seeing.py --data SHARDS --runs RUN RUN      # F-Enc of trained runs

The map is fitted to training clips by ridge regression. Prints a line a model: correlation over the frames of a clip,
over all test clips, of a few coefficients. Without runs it trains F-Enc of configs/reacting.py for so many steps of the
warm-up: the whole-clip one, the causal one, and the causal one before whose first frame there are zeros.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Float

import reactface_jax as rf
from data_pipeline.loader import ShardSet, open_shards
from reactface_jax.config import Config, load_config
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.training.init import init_params
from reactface_jax.training.video_warmup import face_features, make_video_warmup
from reactface_jax.types import Batch

CHANNELS = {
    "smile": "mouthSmileLeft",
    "brows": "browInnerUp",
    "frown": "browDownLeft",
    "blink": "eyeBlinkLeft",
    "jaw": "jawOpen",
    "pitch": "rotation_x",
    "yaw": "rotation_y",
    "roll": "rotation_z",
}
KINDS = {
    "whole clip": [],
    "causal": ["--model.causal"],
    "causal, zeros first": ["--model.causal", "--model.video-start", "zeros"],
}
_RIDGE = 1e-3


@dataclass(frozen=True)
class Arguments:
    """Data, and whose eyes."""

    data: Path
    """Shards with pictures."""
    runs: tuple[Path, ...] = ()
    """Training runs; none: F-Enc is trained by itself."""
    steps: int = 600
    seed: int = 0
    frames: int = 96
    clips: int = 144
    """Training clips that the linear map is fitted to."""


@reports_user_errors
def main(arguments: Arguments) -> None:
    """Prints the table."""
    if arguments.steps < 1:
        raise UserError(f"--steps {arguments.steps} must be at least 1")
    shards = open_shards(arguments.data)
    print("| F-Enc | " + " | ".join(CHANNELS) + " |")
    print("|---" * (len(CHANNELS) + 1) + "|")
    for name, config, params in _runs(arguments) if arguments.runs else _by_itself(arguments, shards):
        if not config.model.use_video:
            raise UserError(f"{name} sees no pictures; give runs of a ReactFace that does")
        see = _eyes(config, params)
        fitted = _features(see, shards, "train", config, arguments.frames, arguments.clips)
        tested = _features(see, shards, "test", config, arguments.frames, None)
        found = correlations(*fitted, *tested)
        print(
            f"| {name} | " + " | ".join(f"{found[COEFFICIENT_NAMES.index(c)]:.2f}" for c in CHANNELS.values()) + " |",
            flush=True,
        )


def _runs(arguments: Arguments) -> Iterator[tuple[str, Config, Any]]:
    for folder in arguments.runs:
        run = rf.load_run(folder)
        yield folder.name, run.config, run.params


def _by_itself(arguments: Arguments, shards: ShardSet) -> Iterator[tuple[str, Config, Any]]:
    for name, words in KINDS.items():
        steps = ["--train.video-warmup", str(arguments.steps), "--train.log-every", str(arguments.steps)]
        config = load_config("reacting", ["--model.feature-dim", "64", *steps, *words])
        model = rf.build_model(config.model)
        params = jax.jit(lambda key, m=model, c=config: init_params(m, c, key))(jax.random.key(arguments.seed))
        batches = shards.train_batches(
            "train",
            batch_size=config.train.batch_size,
            num_frames=config.data.clip_frames,
            image_size=config.data.image_size,
            max_neighbours=1,
            seed=arguments.seed,
        )
        warm_up = make_video_warmup(model, config)
        assert warm_up is not None
        yield name, config, warm_up(params, batches)


def _eyes(config: Config, params: Any) -> Callable[[Any], Float[np.ndarray, "B T D"]]:
    model = rf.build_model(config.model)
    see = jax.jit(lambda video: model.apply({"params": params}, to_unit_range(video), method=face_features))
    return lambda video: np.asarray(see(jnp.asarray(video)), np.float64)


def _features(
    see: Callable[[Any], Float[np.ndarray, "B T D"]],
    shards: ShardSet,
    split: str,
    config: Config,
    frames: int,
    clips: int | None,
) -> tuple[Float[np.ndarray, "N T D"], Float[np.ndarray, "N T C"]]:
    """Of the first clips of a split, with the speaker's coefficients."""
    seen: list[np.ndarray] = []
    speaker: list[np.ndarray] = []
    batches: Iterator[Batch] = shards.clip_batches(
        split, batch_size=8, num_frames=frames, image_size=config.data.image_size
    )
    for batch in batches:
        real = np.asarray(batch.clip) >= 0
        seen.append(see(batch.video)[real])
        speaker.append(np.asarray(batch.speaker, np.float64)[real])
        if clips is not None and sum(map(len, seen)) >= clips:
            break
    return np.concatenate(seen), np.concatenate(speaker)


def correlations(
    seen: Float[np.ndarray, "N T D"],
    speaker: Float[np.ndarray, "N T C"],
    seen_later: Float[np.ndarray, "M T D"],
    speaker_later: Float[np.ndarray, "M T C"],
) -> Float[np.ndarray, " C"]:
    """Fits a map to the first two, reads the third by it, and compares with the fourth, each less its clip's mean."""
    mean, spread = seen.mean((0, 1)), seen.std((0, 1)) + 1e-9
    x = ((seen - mean) / spread).reshape(-1, seen.shape[-1])
    y = speaker.reshape(len(x), -1)
    gram = x.T @ x / len(x) + _RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - y.mean(0)) / len(x))
    read = (seen_later - mean) / spread @ weights
    ours, theirs = (z - z.mean(1, keepdims=True) for z in (read, speaker_later))
    size = np.sqrt((ours**2).sum((0, 1)) * (theirs**2).sum((0, 1)))
    return np.divide((ours * theirs).sum((0, 1)), size, out=np.zeros(len(size)), where=size > 0)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(tyro.cli(Arguments, description=__doc__))
