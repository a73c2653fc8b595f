"""The fields of Trans-VAE (methods/trans_vae)."""

from dataclasses import dataclass

from reactface_jax.config.ranges import Count, CountOrNone, Positive, Section, Weight, require


@dataclass(frozen=True)
class TransVaeConfig(Section, name="trans_vae"):
    """The defaults are the release's, offline and without the challenge's attributes."""

    attributes: bool = False  # also predicts the challenge's 25 attributes, as released checkpoints do
    online: bool = False  # a window at a time, with the reactions so far; quadratic in a clip's length
    feature_dim: Count = 128
    video_chunk: CountOrNone = 0  # frames that are convolved at once in training, to save memory; 0: all
    window: Count = 16  # frames that are answered at once in training online
    eval_window: Count = 8  # and in use
    learning_rate: Positive = 1e-5
    weight_decay: Weight = 5e-4
    pose: Weight = 10.0  # of rotation and translation within the reconstruction
    kl: Weight = 1e-5
    diversity: Weight = 10.0
    released: bool = False  # the original's defect: online, frames after the last whole window are zero

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.feature_dim % 4 == 0, f"trans_vae.feature_dim {self.feature_dim} must be a multiple of 4")
