"""Sizes of the listener and what its training depends on."""

from dataclasses import dataclass, field
from typing import Literal

from reactface_jax.errors import UserError

Head = Literal["flow", "mixture"]


@dataclass(frozen=True)
class ListenerSizes:
    """The network."""

    chunk: int = 5
    """Frames that are answered at once (200 ms). The speaker is seen to the end of the frames that are answered."""
    components: int = 16
    """R, dimensions of a frame of the listener (motion_space.py)."""
    speaker_width: int = 256
    own_width: int = 192
    style_width: int = 8
    head_width: int = 256
    head_blocks: int = 3
    head: Head = "flow"
    """How the next chunk is drawn: flow matching, or a mixture of normal distributions."""
    mixtures: int = 8
    """Of the mixture."""
    num_styles: int = 64
    """Kept with the weights: a conversation without a style draws one of them."""

    def __post_init__(self) -> None:
        if not 1 <= self.chunk <= 8:
            raise UserError(f"--model.chunk {self.chunk} must be between 1 and 8 frames")


@dataclass(frozen=True)
class ListenerTraining:
    """The optimisation."""

    steps: int = 2600
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-3
    warmup_steps: int = 50
    """Of each cycle."""
    cycles: int = 1
    """Of the learning rate."""
    average: float = 0.998
    """Decay of the parameters' moving average, which is what is kept."""
    draws: int = 1
    """Times and noises a chunk and step, of flow matching."""
    drop_speaker: float = 0.1
    """Share of clips in which the speaker is hidden, for guidance."""
    drop_sound: float = 0.1
    past_noise: float = 0.3
    """Largest standard deviation of the noise on the own past (in the units of a component)."""
    seed: int = 0


@dataclass(frozen=True)
class ListenerData:
    """What it learns from: made conversations (data_pipeline/dyads/listening_pairs.py), or a shard set."""

    dir: str = ""
    """The shard set that `reactface prepare shards` wrote; made conversations if not given."""
    neighbours: int = 4
    """Appropriate reactions of a clip of a shard set that are kept, its own listener first."""
    scripts: int = 1400
    seconds: float = 10.0
    seed: int = 100
    cache: str = ""
    """A .npz that keeps the conversations for the next training."""
    workers: int = 1


@dataclass(frozen=True)
class ListenerConfig:
    """A training of the listener."""

    model: ListenerSizes = field(default_factory=ListenerSizes)
    train: ListenerTraining = field(default_factory=ListenerTraining)
    data: ListenerData = field(default_factory=ListenerData)
