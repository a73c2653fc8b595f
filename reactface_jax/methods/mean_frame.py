"""MeanFr: the average training frame, held still."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.errors import UserError
from reactface_jax.methods.method import Inputs, repeat, seen_speaker
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class MeanFrame:
    """The mean over training clips and time."""

    frame: Float[np.ndarray, " C"] | None = None
    name: str = "MeanFr"
    needs: tuple[str, ...] = ("speaker",)

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "MeanFrame":
        return dataclasses.replace(self, frame=training.mean((0, 1), dtype=np.float64).astype(np.float32))

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.frame is None:
            raise UserError("MeanFr has no training data; call fit first")
        return repeat(np.broadcast_to(self.frame, seen_speaker(inputs, self.name).shape), num_reactions)
