"""Sizes of the listener and what its training depends on."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from reactface_jax.config.ranges import (
    Count,
    CountOrNone,
    Positive,
    Probability,
    Range,
    Section,
    Seed,
    Share,
    Weight,
    require,
)
from reactface_jax.types import FRAME_RATE

Head = Literal["flow", "mixture"]


@dataclass(frozen=True)
class ListenerSizes(Section, name="model"):
    """The network."""

    chunk: Annotated[int, Range(least=1, most=8)] = 5
    """Frames that are answered at once (200 ms). The speaker is seen to the end of the frames that are answered."""
    components: Count = 16
    """R, dimensions of a frame of the listener (motion_space.py)."""
    speaker_width: Count = 256
    own_width: Count = 192
    style_width: Count = 8
    head_width: Count = 256
    head_blocks: Count = 3
    head: Head = "flow"
    """How the next chunk is drawn: flow matching, or a mixture of normal distributions."""
    mixtures: Count = 8
    """Of the mixture."""
    num_styles: Count = 64
    """Kept with the weights: a conversation without a style draws one of them."""


@dataclass(frozen=True)
class ListenerTraining(Section, name="train"):
    """The optimisation."""

    steps: Count = 2600
    batch_size: Count = 32
    learning_rate: Positive = 1.5e-3
    weight_decay: Weight = 1e-3
    warmup_steps: CountOrNone = 50
    """Of each cycle."""
    cycles: Count = 1
    """Of the learning rate."""
    average: Share = 0.998
    """Decay of the parameters' moving average, which is what is kept."""
    draws: Count = 1
    """Times and noises a chunk and step, of flow matching."""
    drop_speaker: Probability = 0.1
    """Share of clips in which the speaker is hidden, for guidance."""
    drop_sound: Probability = 0.1
    past_noise: Weight = 0.3
    """Largest standard deviation of the noise on the own past (in the units of a component)."""
    change_weight: Weight = 10.0
    """Of the mean's error in the changes from frame to frame: without it the mean moves in steps where chunks meet."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        length = self.steps // self.cycles
        require(
            length > self.warmup_steps,
            f"train.warmup_steps {self.warmup_steps} must be less than the {length} steps of a cycle "
            f"(train.steps {self.steps} by train.cycles {self.cycles})",
        )


@dataclass(frozen=True)
class ListenerData(Section, name="data"):
    """What it learns from: made conversations (data_pipeline/dyads/listening_pairs.py), or a shard set."""

    dir: str = ""
    """The shard set that `reactface prepare shards` wrote; made conversations if not given."""
    neighbours: Count = 4
    """Appropriate reactions of a clip of a shard set that are kept, its own listener first."""
    scripts: Count = 1400
    seconds: Positive = 10.0
    seed: Seed = 100
    cache: str = ""
    """A .npz that keeps the conversations for the next training."""
    workers: Count = 1


@dataclass(frozen=True)
class ListenerConfig:
    """A training of the listener."""

    model: ListenerSizes = field(default_factory=ListenerSizes)
    train: ListenerTraining = field(default_factory=ListenerTraining)
    data: ListenerData = field(default_factory=ListenerData)

    def __post_init__(self) -> None:
        frames = round(self.data.seconds * FRAME_RATE)
        require(
            frames >= self.model.chunk,
            f"data.seconds {self.data.seconds:g} is {frames} frames, fewer than model.chunk {self.model.chunk}; "
            "give longer clips",
        )
