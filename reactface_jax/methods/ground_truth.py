"""GT: the real listener, the upper end of the table."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.methods.method import Inputs, repeat
from reactface_jax.types import AnyArray


@dataclass(frozen=True)
class GroundTruth:
    """Knows the answers: the listeners of the very clips that it is asked about."""

    listener: Float[np.ndarray, "N T C"]
    name: str = "GT"
    needs: tuple[str, ...] = ()

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "GroundTruth":
        return self

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        return repeat(self.listener, num_reactions)
