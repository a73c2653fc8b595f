"""What is heard in a split's clips: the voices, and from these who has the floor."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float16, Int

from reactface_jax.errors import UserError
from reactface_jax.evaluation.planted_truth import LISTENING_DELAY
from reactface_jax.media.log_mel import log_mel
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME, Batch

_BATCH = 16
_LEAST_CONTRAST = 1.0
"""Natural logarithm of the ratio of the voices' energies; below, nobody has the floor."""


@runtime_checkable
class Voices(Protocol):
    """What is asked of a shard set (`reactface_jax.shard_set.ShardSet`) to listen to it."""

    def num_clips(self, split: str) -> int:
        """N, both directions of a conversation counted."""
        ...

    def coefficients(self, split: str) -> tuple[Float[np.ndarray, "N T C"], Float[np.ndarray, "N T C"]]:
        """Raw, of speakers and of listeners."""
        ...

    def clip_batches(self, split: str, *, batch_size: int, num_frames: int, image_size: int) -> Iterator[Batch]:
        """Whole clips in order."""
        ...


class Heard(NamedTuple):
    """Of some clips of a split."""

    rows: Int[np.ndarray, " n"]
    """Which."""
    audio: Float16[np.ndarray, "n L"]
    """The speakers' voices, of variance 1; in half precision, since a split of them is large."""
    listening: Bool[np.ndarray, "n T"]
    """Where the speaker has the floor, a moment later: his voice is the louder one over a second."""

    def features(self) -> Float[np.ndarray, "n T F"]:
        """Log-mel energies."""
        return np.stack([log_mel(voice) for voice in self.audio])


def hear(shards: Voices, split: str, num_frames: int, most: int | None = None) -> Heard:
    """Listens to a split.

    Args:
        shards: the data.
        split: "train", "val" or "test".
        num_frames: of each clip, from its beginning.
        most: clips that are kept, evenly chosen; None: all.

    Raises:
        UserError: the shards do not deliver all clips.
    """
    count = shards.num_clips(split)
    rows = np.unique(np.linspace(0, count - 1, count if most is None else min(most, count)).astype(int))
    places = {int(row): place for place, row in enumerate(rows)}
    audio = np.zeros((len(rows), num_frames * SAMPLES_PER_FRAME), np.float16)
    loudness = np.full((count, num_frames), np.nan)
    for batch in shards.clip_batches(split, batch_size=_BATCH, num_frames=num_frames, image_size=0):
        for row, voice in zip(batch.clip, np.asarray(batch.audio), strict=True):
            if row >= 0:
                frames = voice.reshape(num_frames, SAMPLES_PER_FRAME).astype(np.float64)
                loudness[row] = np.log(_over_a_second(np.square(frames).mean(1)) + 1e-3)
                if row in places:
                    audio[places[int(row)]] = voice
    if np.isnan(loudness).any():
        raise UserError(f"the data did not deliver all clips of {split}; write the shards again")
    return Heard(rows, audio, has_floor(loudness)[rows])


def has_floor(loudness: Float[np.ndarray, "N T"]) -> Bool[np.ndarray, "N T"]:
    """Where each clip's speaker is clearly louder than its listener, who speaks in the clip half the split away."""
    louder = loudness - np.roll(loudness, len(loudness) // 2, axis=0) > _LEAST_CONTRAST
    moved = np.zeros_like(louder)
    moved[:, LISTENING_DELAY:] = louder[:, :-LISTENING_DELAY]
    return moved


def _over_a_second(energy: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Mean over the second around each frame."""
    window = np.ones(FRAME_RATE)
    return np.convolve(energy, window, mode="same") / np.convolve(np.ones(len(energy)), window, mode="same")
