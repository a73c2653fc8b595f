"""The people of a shard set's split, as an evaluation needs them: coefficients, batches, videos, recordings."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from reactface_jax.evaluation.page.recordings import record
from reactface_jax.shard_set import ShardSet
from reactface_jax.types import Batch, Clips

OWN_ONLY = "each clip's own listener only, since the data know no other appropriate reaction"
"""What the report says of clips that know no others."""


class SplitPeople:
    """A split whose clips are all cut to one length.

    Raises:
      UserError: the set has no such split, or a shard is damaged.
    """

    def __init__(self, shards: ShardSet, split: str, max_frames: int) -> None:
        self.shards = shards
        self.split = split
        self.num_clips = shards.num_clips(split)
        self.num_frames = min(max_frames, int(shards.num_frames(split).min()))
        speaker, listener = shards.coefficients(split)
        self.clips = Clips(
            np.ascontiguousarray(speaker[:, : self.num_frames]),
            np.ascontiguousarray(listener[:, : self.num_frames]),
            shards.appropriateness(split),
            shards.clip_ids(split),
            tuple(shards.description["coefficient_names"]),
        )

    def batches(
        self, batch_size: int, image_size: int, num_frames: int | None = None, rows: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """Whole clips in order, or their first `num_frames` frames; of each batch only `rows` (None: all)."""
        frames = min(self.num_frames, num_frames or self.num_frames)
        return self.shards.clip_batches(
            self.split, batch_size=batch_size, num_frames=frames, image_size=image_size, rows=rows
        )

    def listener_videos(self, clips: Sequence[int]) -> Iterator[UInt8[np.ndarray, "T H W 3"]]:
        """The real listeners of some clips; each is the speaker of the clip with the roles swapped."""
        for clip in clips:
            frames = self.shards.example(self.split, self._swapped(clip))["frames"]
            yield np.stack(list(itertools.islice(frames, self.num_frames)))

    def recording(self, clip: int) -> bytes:
        """A clip's speaker, beside the listener, with the speaker's voice, as an mp4."""
        speaking, listening = (self.shards.example(self.split, row) for row in (clip, self._swapped(clip)))
        return record(speaking["frames"], listening["frames"], speaking["audio"], self.num_frames)

    def _swapped(self, clip: int) -> int:
        return (clip + self.num_clips // 2) % self.num_clips
