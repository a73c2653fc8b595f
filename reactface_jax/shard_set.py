"""What training and evaluation ask of a shard set. data_pipeline/loader.py has it; it needs TensorFlow."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from reactface_jax.types import Batch


@runtime_checkable
class ShardSet(Protocol):
    """The clips of a data set's splits; `data_pipeline.loader.ShardSet` says more of each method."""

    @property
    def description(self) -> Mapping[str, Any]:
        """The set's description.json."""
        ...

    @property
    def mean_face(self) -> Float[np.ndarray, " C"]:
        """Of the coefficients."""
        ...

    @property
    def std_face(self) -> Float[np.ndarray, " C"]:
        """Their standard deviation."""
        ...

    @property
    def has_pictures(self) -> bool:
        """Whether examples hold the speaker's frames; without them batches need image_size 0."""
        ...

    def num_clips(self, split: str) -> int:
        """N, both directions of a conversation counted."""
        ...

    def num_frames(self, split: str) -> Int[np.ndarray, " N"]:
        """Of each clip."""
        ...

    def clip_ids(self, split: str) -> list[str]:
        """Names of the clips."""
        ...

    def coefficients(self, split: str) -> tuple[Float[np.ndarray, "N T C"], Float[np.ndarray, "N T C"]]:
        """Raw, of speakers and of listeners, as long as the shortest clip."""
        ...

    def listeners(self, split: str) -> Float[np.ndarray, "N T C"]:
        """Relative to `mean_face`: the table into which a batch's neighbours point."""
        ...

    def appropriateness(self, split: str) -> Bool[np.ndarray, "N N"]:
        """[i, j]: listener j is an appropriate reaction to speaker i."""
        ...

    def example(self, split: str, index: int) -> dict[str, Any]:
        """A whole clip, decoded: "frames", "audio" and what else a shard has."""
        ...

    def train_batches(
        self,
        split: str,
        *,
        batch_size: int,
        num_frames: int,
        image_size: int,
        max_neighbours: int,
        seed: int,
        start_step: int = 0,
        rows: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Random crops of shuffled clips, without end.

        Args:
          split: "train", "val" or "test".
          batch_size: clips in a step, of all hosts together.
          num_frames: T, frames of a crop.
          image_size: height and width of the frames.
          max_neighbours: appropriate reactions a clip, at most.
          seed: of order and crops.
          start_step: the step of the first batch.
          rows: which rows of each batch to read; None: all.
        """
        ...

    def clip_batches(
        self,
        split: str,
        *,
        batch_size: int,
        num_frames: int | None,
        image_size: int,
        rows: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Whole clips in order, each once.

        Args:
          split: "train", "val" or "test".
          batch_size: clips in a batch; -1 in `Batch.clip` pads the last one.
          num_frames: T, from the beginning of each clip; None: the length of the shortest.
          image_size: height and width of the frames.
          rows: which rows of each batch to read; None: all.
        """
        ...


def open_shards(folder: str) -> ShardSet:
    """Opens a shard set. Its module is found by name: this package never needs TensorFlow otherwise.

    Raises:
      UserError: the folder holds no shard set that can be read here.
      ModuleNotFoundError: TensorFlow is not installed.
    """
    shards: ShardSet = importlib.import_module("data_pipeline.loader").open_shards(folder)
    return shards
