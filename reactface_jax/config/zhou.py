"""The fields of Zhou et al.'s responsive listening head (methods/zhou)."""

from dataclasses import dataclass

from reactface_jax.config.ranges import Count, Frames, Positive, Section, Share, Weight, require


@dataclass(frozen=True)
class ZhouConfig(Section, name="zhou"):
    """The LSTM and its training; the defaults are the release's."""

    channels: Count = 58  # coefficients of a frame; the original has 73
    audio_features: Count = 82  # of a frame of the speaker's sound; the original, at 44.1 kHz, has 45
    input_width: Count = 192
    width: Count = 96  # of the LSTM
    dropout: Share = 0.1  # between its layers
    window: Frames = 90  # frames of a training window
    shortest: Frames = 30  # windows at a clip's end are shorter, down to this
    learning_rate: Positive = 2e-3
    b1: Share = 0.9
    b2: Share = 0.999
    weight_decay: Weight = 0.05
    halving: Count = 30  # epochs after which the learning rate is halved, one sooner for the first time
    epoch_steps: Count = 165  # updates that count as an epoch: as many windows as train.csv has rows, 2634, at batch 16
    statistics_batches: Count = 32  # training batches that means and deviations are measured on
    released: bool = False  # the original's defects: methods/zhou says which

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.shortest <= self.window, f"zhou.shortest {self.shortest} must be at most zhou.window {self.window}"
        )
