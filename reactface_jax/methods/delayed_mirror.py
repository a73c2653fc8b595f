"""Delayed mirror: the listener does what the speaker did a moment ago.

It knows nothing of conversations, and a model that reacts must score higher.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.errors import UserError
from reactface_jax.methods.method import Inputs, repeat, seen_speaker
from reactface_jax.methods.ready import held
from reactface_jax.metrics.correlation import best_concordance, moments
from reactface_jax.types import FRAME_RATE, AnyArray

LONGEST = FRAME_RATE
"""Frames of the longest delay that is tried."""
_MOST_CLIPS = 200


@dataclass(frozen=True)
class DelayedMirror:
    """The speaker's coefficients, moved; before them his first frame. A face that was lost stays as it was."""

    delay: int | None = None
    """Frames."""
    name: str = "delayed-mirror"
    needs: tuple[str, ...] = ("speaker",)

    def fit_to_pairs(self, speakers: Inputs, listener: Float[np.ndarray, "M T C"]) -> "DelayedMirror":
        """Chooses the delay with the highest clean FRCorr against the own listeners; 200 clips are enough."""
        speaker = held(seen_speaker(speakers, self.name))
        chosen = np.unique(np.linspace(0, len(speaker) - 1, _MOST_CLIPS).astype(int))
        own = [moments(listener[i : i + 1]) for i in chosen]
        everyone = np.ones((1, 1), bool)
        scores = [
            np.mean(
                [
                    best_concordance(
                        _delayed(speaker[i : i + 1], delay)[:, None], listener_of, everyone
                    ).varying_channels
                    for i, listener_of in zip(chosen, own, strict=True)
                ]
            )
            for delay in range(1, min(LONGEST, speaker.shape[1] - 1) + 1)
        ]
        return dataclasses.replace(self, delay=1 + int(np.argmax(scores)))

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.delay is None:
            raise UserError(f"{self.name} has no training data; call fit_to_pairs first")
        return repeat(_delayed(held(seen_speaker(inputs, self.name)), self.delay), num_reactions)


def _delayed(speaker: Float[np.ndarray, "N T C"], delay: int) -> Float[np.ndarray, "N T C"]:
    return speaker[:, np.maximum(np.arange(speaker.shape[1]) - delay, 0)]
