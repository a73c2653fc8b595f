"""Random, in three kinds: frames of a normal distribution, frames of a uniform one, segments of training listeners.

Of the normal one FRVar is by construction the mean variance of the channels, FRDiv and FRDvs twice that.
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


@dataclass(frozen=True)
class RandomUniform:
    """Independent draws between the smallest and the largest training value of each channel.

    The REACT challenges draw their attributes from U(0, 1), which is these attributes' range.
    """

    lowest: Float[np.ndarray, " C"] | None = None
    highest: Float[np.ndarray, " C"] | None = None
    name: str = "Random uniform"
    needs: tuple[str, ...] = ("speaker",)

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "RandomUniform":
        lowest, highest = (np.asarray(end, np.float32) for end in (training.min((0, 1)), training.max((0, 1))))
        return dataclasses.replace(self, lowest=lowest, highest=highest)

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.lowest is None or self.highest is None:
            raise UserError(f"{self.name} has no training data; call fit first")
        num_clips, num_frames, num_channels = seen_speaker(inputs, self.name).shape
        reactions = np.empty((num_clips, num_reactions, num_frames, num_channels), np.float32)
        for i in range(num_clips):
            share = np.asarray(jax.random.uniform(jax.random.fold_in(key, i), reactions.shape[1:]))
            reactions[i] = self.lowest + share * (self.highest - self.lowest)
        return reactions


@dataclass(frozen=True)
class RandomSegment:
    """A training listener from a random frame on; where the clip is longer, he is followed by another."""

    training: Float[np.ndarray, "M T C"] | None = None
    name: str = "Random segment"
    needs: tuple[str, ...] = ("speaker",)

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "RandomSegment":
        return dataclasses.replace(self, training=training)

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.training is None:
            raise UserError(f"{self.name} has no training data; call fit first")
        num_clips, num_frames, num_channels = seen_speaker(inputs, self.name).shape
        longest = self.training.shape[1]
        length = min(longest, num_frames)
        parts = -(-num_frames // length)
        reactions = np.empty((num_clips, num_reactions, num_frames, num_channels), np.float32)
        for i in range(num_clips):
            who, when = jax.random.split(jax.random.fold_in(key, i))
            rows = np.asarray(jax.random.randint(who, (num_reactions, parts), 0, len(self.training)))
            starts = np.asarray(jax.random.randint(when, (num_reactions, parts), 0, longest - length + 1))
            for k in range(num_reactions):
                pieces = [
                    self.training[row, start : start + length] for row, start in zip(rows[k], starts[k], strict=True)
                ]
                reactions[i, k] = np.concatenate(pieces)[:num_frames]
        return reactions
