"""Made conversations as arrays, without files: a listener trains on thousands of scripts directly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from jaxtyping import Bool, Float, Int16

from data_pipeline.dyads.conversations import Conversation, Recipe, neighbours, plan
from data_pipeline.dyads.scripts import ROLES
from data_pipeline.dyads.voice import RATE
from data_pipeline.dyads.workers import single_threads
from data_pipeline.raw_tree.react2023 import SPLITS
from reactface_jax.errors import UserError
from reactface_jax.types import SAMPLE_RATE
from reactface_jax.worker_pool import worker_pool


@dataclass(frozen=True)
class Played:
    """A split, played. Rows are directions as everywhere: n conversations, then the same with the roles swapped."""

    speaker: Float[np.ndarray, "N T 58"]
    """Raw coefficients, those of the tree that `make` writes of the same recipe."""
    listener: Float[np.ndarray, "N T 58"]
    """Row i is the speaker of row i + n (modulo 2 n)."""
    sound: Int16[np.ndarray, "N L"]
    """The speakers' voices at 16 kHz, 640 samples a frame; divide by 32768 for [-1, 1]. L is 0 if not asked for."""
    neighbours: Bool[np.ndarray, "N N"]
    """[i, j]: listener j is an appropriate reaction to speaker i."""
    conversations: list[Conversation]
    """The n of them: `truth()` of each has the events and answers; role 0 speaks in row i, role 1 in row i + n."""

    def truth(self) -> list[dict[str, Any]]:
        """Of each conversation, as in dyads.json."""
        return [conversation.truth() for conversation in self.conversations]


def play(recipe: Recipe, split: str = "train", *, sound: bool = True, workers: int = 1) -> Played:
    """Plays all conversations of a split of a recipe; 6 s of two people take 80 ms of a core.

    Args:
        recipe: what to make; `pictures` and `size` change nothing here.
        split: "train", "val" or "test".
        sound: False leaves the voices out, and saves 6 MB for a minute of two people.
        workers: processes. With several, a script needs Python's usual `if __name__ == "__main__":`.

    Raises:
        UserError: there is no such split.
    """
    if split not in SPLITS:
        raise UserError(f"made conversations have no split {split}; they have {', '.join(SPLITS)}")
    conversations = plan(recipe)[split]
    count, frames = len(conversations), recipe.num_frames
    speaker = np.empty((2 * count, frames, 58), np.float32)
    samples = frames * SAMPLE_RATE // 25 if sound else 0
    voices = np.empty((2 * count, samples), np.int16)
    jobs = [(conversation, role) for role in ROLES for conversation in conversations]
    for row, (coefficients, voice) in enumerate(_play_all(jobs, workers)):
        speaker[row] = coefficients
        voices[row] = voice[:samples]
    return Played(
        speaker=speaker,
        listener=np.roll(speaker, count, axis=0),
        sound=voices,
        neighbours=neighbours(conversations).astype(bool),
        conversations=conversations,
    )


def to_16_khz(sound: Float[np.ndarray, " L44"]) -> Int16[np.ndarray, " L"]:
    """A voice of `Conversation.play` at the model's rate, as 16-bit numbers."""
    resampled = soxr.resample(sound, RATE, SAMPLE_RATE)
    return np.clip(np.round(resampled * 32768), -32768, 32767).astype(np.int16)


def _play_one(conversation: Conversation, role: int) -> tuple[Float[np.ndarray, "T 58"], Int16[np.ndarray, " L"]]:
    coefficients, sound = conversation.play(role)
    return coefficients, to_16_khz(sound)


def _play_all(
    jobs: list[tuple[Conversation, int]], workers: int
) -> Iterator[tuple[Float[np.ndarray, "T 58"], Int16[np.ndarray, " L"]]]:
    """Plays people, in this process or in several, in the jobs' order."""
    if workers == 1 or len(jobs) < 2:
        yield from (_play_one(*job) for job in jobs)
        return
    with single_threads(), worker_pool(workers) as pool:
        yield from pool.map(_play_one, *zip(*jobs, strict=True), chunksize=8)
