"""MeanSeq: the average training reaction, moment by moment."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.errors import UserError
from reactface_jax.methods.method import repeat
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class MeanSequence:
    """The mean over training clips, cut to the speaker's length; its last frame goes on where it is too short."""

    sequence: Float[np.ndarray, "T C"] | None = None
    name: str = "MeanSeq"

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "MeanSequence":
        return dataclasses.replace(self, sequence=training.mean(0, dtype=np.float64).astype(np.float32))

    def generate(
        self, speaker: Float[np.ndarray, "N T C"], num_reactions: int, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.sequence is None:
            raise UserError("MeanSeq has no training data; call fit first")
        num_clips, num_frames, num_channels = speaker.shape
        missing = max(0, num_frames - len(self.sequence))
        sequence = np.pad(self.sequence[:num_frames], ((0, missing), (0, 0)), mode="edge")
        return repeat(np.broadcast_to(sequence, (num_clips, num_frames, num_channels)), num_reactions)
