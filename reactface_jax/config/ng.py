"""The fields of Ng et al., "Learning to Listen" (methods/ng)."""

from dataclasses import dataclass
from typing import Literal

from reactface_jax.config.ranges import Count, CountOrNone, Positive, Probability, Section, Weight, require


@dataclass(frozen=True)
class NgConfig(Section, name="ng"):
    """The VQ-VAE, then the predictor; the defaults are the release's. `train.steps` counts both trainings."""

    channels: Count = 58  # coefficients of a frame, pose last; the released checkpoints have 56
    width: Count = 256  # of the VQ-VAE
    num_heads: Count = 8
    num_layers: Count = 12  # transformer blocks on each side of the codebook
    feed_forward: Count = 384
    num_codes: Count = 200
    token_width: Count = 200  # of the predictor
    speaker_width: Count = 400  # of its part that sees the speaker only
    predictor_heads: Count = 10
    predictor_feed_forward: Count = 128
    speaker_layers: Count = 2
    predictor_layers: Count = 5
    vqvae_steps: Count = 100_000  # of train.steps; the predictor has the rest
    vqvae_rate: Positive = 2.0  # times width^-.5 min(n^-.5, n warmup_steps^-1.5): 4.0e-4 at the peak
    predictor_rate: Positive = 0.01  # times token_width^-.5 …: 2.2e-6 at the peak
    warmup_steps: Count = 100_000  # of each training
    weight_decay: Weight = 0.01  # of the VQ-VAE
    kept_draws: CountOrNone = 20  # past codes are known to a number drawn from 0 to this, four at most
    draw: Literal["code", "block"] = "code"  # one code every 8 frames, or all four of a block every 32
    temperature: Positive = 0.7  # of the codes that are drawn
    nucleus: Probability = 0.9
    statistics_batches: Count = 32  # training batches that means and deviations are measured on
    released: bool = False  # the original's defects, which its checkpoints need: methods/ng says which

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.channels > 6, f"ng.channels {self.channels} must be above 6, the numbers of a pose")
        for heads, width in (
            ("num_heads", "width"),
            ("predictor_heads", "token_width"),
            ("predictor_heads", "speaker_width"),
        ):
            require(
                getattr(self, width) % getattr(self, heads) == 0,
                f"ng.{width} {getattr(self, width)} must be a multiple of ng.{heads} {getattr(self, heads)}",
            )
        require(
            not self.released or self.width % 4 == 0,
            f"ng.width {self.width} must be a multiple of 4 with ng.released",
        )
