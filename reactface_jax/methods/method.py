"""The interface of every row of the table."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.types import AnyArray


@runtime_checkable
class Method(Protocol):
    """Something that answers speakers. All coefficients are raw."""

    @property
    def name(self) -> str:
        """In the table."""
        ...

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "Method":
        """Learns from the listeners of the training split, where both people of a conversation listen in turn."""
        ...

    def generate(
        self, speaker: Float[np.ndarray, "N T C"], num_reactions: int, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each speaker, of the speaker's length."""
        ...


def repeat(reaction: Float[np.ndarray, "N T C"], num_reactions: int) -> Float[np.ndarray, "N K T C"]:
    """One reaction, K times: a view, which the measures recognise and measure once."""
    num_clips, num_frames, num_channels = reaction.shape
    return np.broadcast_to(reaction[:, None], (num_clips, num_reactions, num_frames, num_channels))
