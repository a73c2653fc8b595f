"""MeanSeq: the average training reaction, moment by moment."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.errors import UserError
from reactface_jax.methods.method import Inputs, repeat, seen_speaker
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class MeanSequence:
    """The mean over training clips, cut to the speaker's length; its last frame goes on where it is too short."""

    sequence: Float[np.ndarray, "T C"] | None = None
    name: str = "MeanSeq"
    needs: tuple[str, ...] = ("speaker",)

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "MeanSequence":
        return dataclasses.replace(self, sequence=training.mean(0, dtype=np.float64).astype(np.float32))

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.sequence is None:
            raise UserError("MeanSeq has no training data; call fit first")
        num_clips, num_frames, num_channels = seen_speaker(inputs, self.name).shape
        missing = max(0, num_frames - len(self.sequence))
        sequence = np.pad(self.sequence[:num_frames], ((0, missing), (0, 0)), mode="edge")
        return repeat(np.broadcast_to(sequence, (num_clips, num_frames, num_channels)), num_reactions)
