"""Mirror: the listener does what the speaker does, at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.methods.method import Inputs, repeat, seen_speaker
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class Mirror:
    """The speaker's coefficients, unsmoothed."""

    name: str = "Mirror"
    needs: tuple[str, ...] = ("speaker",)

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "Mirror":
        return self

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        return repeat(seen_speaker(inputs, self.name), num_reactions)
