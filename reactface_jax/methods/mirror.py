"""Mirror: the listener does what the speaker does, at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.methods.method import repeat
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class Mirror:
    """The speaker's coefficients, unsmoothed."""

    name: str = "Mirror"

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "Mirror":
        return self

    def generate(
        self, speaker: Float[np.ndarray, "N T C"], num_reactions: int, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        return repeat(speaker, num_reactions)
