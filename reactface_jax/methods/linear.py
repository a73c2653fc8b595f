"""Linear: ridge regression of the listener's frame on the speaker's last second, seen and heard.

What a filter can do without knowing what an event is; a model that reacts must score higher.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Key

from reactface_jax.errors import UserError
from reactface_jax.media.log_mel import NUM_BANDS, log_mel
from reactface_jax.methods.method import Inputs, repeat, seen_speaker
from reactface_jax.methods.ready import held
from reactface_jax.types import FRAME_RATE, AnyArray

SECOND = FRAME_RATE
"""Frames that are seen, the newest being the one that is answered."""
PENALTY = 1e-2
"""Of a standardised feature, by row."""
_MOST_ROWS = 60_000


class _Filter(NamedTuple):
    mean: Float[np.ndarray, " F"]
    std: Float[np.ndarray, " F"]
    weights: Float[np.ndarray, "P C"]
    offset: Float[np.ndarray, " C"]


@dataclass(frozen=True)
class Linear:
    """One answer, causal: its first second sees the clip's first frame as what was before."""

    filter: _Filter | None = None
    name: str = "linear"
    needs: tuple[str, ...] = ("speaker", "audio")
    """Sound is left out where there was none in training."""

    def fit_to_pairs(self, speakers: Inputs, listener: Float[np.ndarray, "M T C"]) -> "Linear":
        """Fits every channel of the training split's listeners; long splits by evenly chosen frames."""
        seen = _features(speakers, self.name)
        mean, std = seen.mean((0, 1), dtype=np.float64), seen.std((0, 1), dtype=np.float64)
        std = np.where(std > 1e-6, std, np.inf)
        step = max(1, -(-seen.shape[0] * seen.shape[1] // _MOST_ROWS))
        width = SECOND * seen.shape[-1]
        offset = listener.mean((0, 1), dtype=np.float64)
        gram, target, count = np.zeros((width, width)), np.zeros((width, listener.shape[-1])), 0
        for clip, answer in zip(seen, listener, strict=True):
            rows = _last_second((clip - mean) / std)[::step]
            gram += rows.T @ rows
            target += rows.T @ (answer - offset)[::step]
            count += len(rows)
        weights = np.linalg.solve(gram + PENALTY * count * np.eye(width), target)
        made = _Filter(*(x.astype(np.float32) for x in (mean, std, weights, offset)))
        return dataclasses.replace(self, filter=made)

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.filter is None:
            raise UserError(f"{self.name} has no training data; call fit_to_pairs first")
        mean, std, weights, offset = self.filter
        seen = _features(inputs, self.name)
        if seen.shape[-1] != len(mean):
            raise UserError(
                f"{self.name} was fitted to {len(mean)} features, but sees {seen.shape[-1]}; give the sound"
            )
        reactions = np.stack([_last_second((clip - mean) / std) @ weights + offset for clip in seen])
        return repeat(reactions.astype(np.float32), num_reactions)


def _features(inputs: Inputs, name: str) -> Float[np.ndarray, "N T F"]:
    """Coefficients, those of lost frames held, and the voice's log-mel energies where there is one."""
    speaker = held(seen_speaker(inputs, name))
    if inputs.audio is None:
        return speaker
    sound = np.zeros((*speaker.shape[:2], NUM_BANDS), np.float32)
    for row, heard in enumerate(np.asarray(inputs.audio)):
        energies = log_mel(heard)[: speaker.shape[1]]
        sound[row, : len(energies)] = energies
    return np.concatenate([speaker, sound], axis=-1)


def _last_second(clip: Float[np.ndarray, "T F"]) -> Float[np.ndarray, "T P"]:
    """Of every frame, the 25 up to it, side by side."""
    clip = np.asarray(clip, np.float32)
    padded = np.concatenate([np.repeat(clip[:1], SECOND - 1, axis=0), clip])
    return np.concatenate([padded[back : back + len(clip)] for back in range(SECOND)], axis=1)
