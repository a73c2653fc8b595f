"""The configuration of a training of the portrait renderer."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reactface_jax.config import apply_overrides
from reactface_jax.config_files import read_config_file
from reactface_jax.errors import UserError
from reactface_jax.rendering.pirender.model import WINDOW


@dataclass(frozen=True)
class RendererData:
    """What is read."""

    dir: str = ""  # the shard set that `python -m data_pipeline.prepare shards` wrote
    image_size: int = 224  # the frames' centre crop of 7/8, resized to this if different from 224; a multiple of 32
    clip_frames: int = 64  # random crop of a clip, from which the portrait and the targets are drawn
    eval_clips: int = 8  # validation clips, from the split's start


@dataclass(frozen=True)
class RendererTraining:
    """One training run. Losses and their weights are the paper's in form (`renderer_losses.py`)."""

    steps: int = 100_000
    warp_steps: int = 30_000  # at first, the warping alone
    clips: int = 8  # of a step
    frames: int = 4  # targets of each clip, all from one portrait
    learning_rate: float = 1e-4
    warp: float = 2.5  # weight of the warp's losses
    pixels: float = 4.0  # weight of the mean absolute difference
    perceptual: float = 4.0
    style: float = 250.0
    narrower: int = 1  # divides all numbers of channels
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    log_every: int = 20
    eval_every: int = 1000  # validation, a picture and a checkpoint


@dataclass(frozen=True)
class RendererConfig:
    """A training of the renderer."""

    data: RendererData = field(default_factory=RendererData)
    train: RendererTraining = field(default_factory=RendererTraining)

    def __post_init__(self) -> None:
        if self.data.image_size % 32:
            raise UserError(f"data.image_size {self.data.image_size} must be a multiple of 32")
        if self.data.clip_frames < WINDOW:
            raise UserError(f"data.clip_frames {self.data.clip_frames} must be at least {WINDOW}, a picture's window")
        if not 0 <= self.train.warp_steps <= self.train.steps:
            raise UserError(f"train.warp_steps {self.train.warp_steps} must lie between 0 and train.steps")
        if self.train.narrower not in (1, 2, 4, 8, 16):
            raise UserError(f"train.narrower {self.train.narrower} must be 1, 2, 4, 8 or 16")


def is_renderer_config(path: str | Path) -> bool:
    """Whether a configuration file is of the renderer. Raises `UserError` if it can't be read."""
    return isinstance(read_config_file(path), RendererConfig)


def load_renderer_config(path: str | Path, overrides: list[str]) -> RendererConfig:
    """Reads a configuration file of the renderer and applies overrides, as `load_config` does."""
    config = read_config_file(path)
    if not isinstance(config, RendererConfig):
        raise UserError(f"configuration {path} must define `config = RendererConfig(...)`")
    return apply_overrides(config, overrides)
