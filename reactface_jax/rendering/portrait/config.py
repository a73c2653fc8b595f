"""The configuration of a training of the portrait renderer."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from reactface_jax.config.ranges import Count, CountOrNone, Positive, Range, Section, Seed, Weight
from reactface_jax.errors import UserError
from reactface_jax.rendering.portrait.model import WINDOW


@dataclass(frozen=True)
class RendererData(Section, name="data"):
    """What is read."""

    dir: str = ""  # the shard set that `reactface prepare shards` wrote
    image_size: Count = 224  # the frames' centre crop of 7/8, resized to this if different from 224; a multiple of 32
    clip_frames: Annotated[int, Range(least=WINDOW)] = 64  # random crop of a clip: portrait and targets are of it
    eval_clips: Count = 8  # validation clips, from the split's start


@dataclass(frozen=True)
class RendererTraining(Section, name="train"):
    """One training run. Losses and their weights are the paper's in form (losses.py)."""

    steps: Count = 100_000
    warp_steps: CountOrNone = 30_000  # at first, only the warping
    clips: Count = 8  # of a step
    frames: Count = 4  # targets of each clip, all from one portrait
    learning_rate: Positive = 1e-4
    warp: Weight = 2.5  # weight of the warp's losses
    pixels: Weight = 4.0  # weight of the mean absolute difference
    perceptual: Weight = 4.0
    style: Weight = 250.0
    narrower: Count = 1  # divides all numbers of channels
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: Seed = 0
    log_every: Count = 20
    eval_every: Count = 1000  # validation, a picture and a checkpoint


@dataclass(frozen=True)
class RendererConfig:
    """A training of the renderer."""

    data: RendererData = field(default_factory=RendererData)
    train: RendererTraining = field(default_factory=RendererTraining)

    def __post_init__(self) -> None:
        if self.data.image_size % 32:
            raise UserError(f"data.image_size {self.data.image_size} must be a multiple of 32")
        if self.train.warp_steps > self.train.steps:
            raise UserError(f"train.warp_steps {self.train.warp_steps} must be at most train.steps {self.train.steps}")
        if self.train.narrower not in (1, 2, 4, 8, 16):
            raise UserError(f"train.narrower {self.train.narrower} must be 1, 2, 4, 8 or 16")
