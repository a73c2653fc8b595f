"""Random: every frame drawn by itself from the training listeners' normal distribution.

By construction FRVar is the mean variance of the channels, FRDiv and FRDvs twice that.
"""

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Key

from reactface_jax.errors import UserError
from reactface_jax.methods.method import Inputs, seen_speaker
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class RandomDraws:
    """Independent N(mean_c, std_c²) for every frame and channel."""

    mean: Float[np.ndarray, " C"] | None = None
    std: Float[np.ndarray, " C"] | None = None
    name: str = "Random"
    needs: tuple[str, ...] = ("speaker",)

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "RandomDraws":
        mean = training.mean((0, 1), dtype=np.float64).astype(np.float32)
        std = training.std((0, 1), dtype=np.float64).astype(np.float32)
        return dataclasses.replace(self, mean=mean, std=std)

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.mean is None or self.std is None:
            raise UserError("Random has no training data; call fit first")
        num_clips, num_frames, num_channels = seen_speaker(inputs, self.name).shape
        reactions = np.empty((num_clips, num_reactions, num_frames, num_channels), np.float32)
        for i in range(num_clips):  # a key a clip: a clip's reactions do not depend on how many others there are
            reactions[i] = jax.random.normal(jax.random.fold_in(key, i), reactions.shape[1:])
            reactions[i] *= self.std
            reactions[i] += self.mean
        return reactions
