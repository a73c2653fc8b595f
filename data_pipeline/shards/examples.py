"""What an example of the shards holds: one description for writer and reader, as the TFDS builder `react2023`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
from jaxtyping import Float, Int, Int16, UInt8

from data_pipeline.host_tensorflow import tfds
from data_pipeline.raw_tree.clip_arrays import NUM_ATTRIBUTES
from data_pipeline.raw_tree.clips import Clip, read_clip
from data_pipeline.raw_tree.react2023 import Split, list_splits, neighbours
from data_pipeline.shards.description import VERSION
from reactface_jax.types import NUM_COEFFICIENTS


class DecodedExample(TypedDict):
    """An example of a set, decoded."""

    index: int
    speaker_id: bytes
    listener_id: bytes
    frames: UInt8[np.ndarray, "T H W 3"]
    audio: Int16[np.ndarray, " L"]
    speaker: Float[np.ndarray, "T 58"]
    listener: Float[np.ndarray, "T 58"]
    speaker_attributes: Float[np.ndarray, "T_or_0 25"]
    listener_attributes: Float[np.ndarray, "T_or_0 25"]
    portrait: UInt8[np.ndarray, "H W 3"]
    neighbours: Int[np.ndarray, " M"]


def features() -> tfds.features.FeaturesDict:
    """What an example holds. Arrays are stored as raw bytes: a tf.train.Example would make 8-byte integers of int16."""
    array = tfds.features.Tensor
    track = lambda width: array(shape=(None, width), dtype=np.float32, encoding="bytes")  # noqa: E731
    return tfds.features.FeaturesDict(
        {
            "index": array(shape=(), dtype=np.int64),  # row in the split's order
            "speaker_id": tfds.features.Text(),
            "listener_id": tfds.features.Text(),
            # T JPEGs, or none: the loader decodes only those of a step's crop.
            "frames": tfds.features.Sequence(tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")),
            "audio": array(shape=(None,), dtype=np.int16, encoding="bytes"),  # 16 kHz, the speaker's whole file
            "speaker": track(NUM_COEFFICIENTS),  # raw
            "listener": track(NUM_COEFFICIENTS),
            "speaker_attributes": track(NUM_ATTRIBUTES),  # no rows where the tree has none
            "listener_attributes": track(NUM_ATTRIBUTES),
            # The listener's first frame; one pixel where there are none.
            "portrait": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "neighbours": array(shape=(None,), dtype=np.int32, encoding="bytes"),  # rows of appropriate listeners
        }
    )


def to_example(
    clip: Clip, *, index: int, speaker_id: str, listener_id: str, neighbours: Int[np.ndarray, "_"]
) -> dict[str, object]:
    """A clip as `features` has it.

    Args:
      clip: one direction.
      index: its row in the split's order.
      speaker_id: path of the speaker in the tree.
      listener_id: likewise.
      neighbours: rows of the appropriate listeners.
    """
    return {
        "index": index,
        "speaker_id": speaker_id,
        "listener_id": listener_id,
        "frames": clip.frames,
        "audio": clip.audio,
        "speaker": clip.speaker,
        "listener": clip.listener,
        "speaker_attributes": clip.speaker_attributes,
        "listener_attributes": clip.listener_attributes,
        "portrait": clip.portrait,
        "neighbours": neighbours.astype(np.int32),
    }


class React2023(tfds.core.GeneratorBasedBuilder):
    """TFDS builder `react2023`; `manual_dir` is the raw tree.

    `shards.write.write_shards` writes the same examples, and goes on when it was killed; the tables and the
    description, which the loader needs, are its work too.
    """

    VERSION = tfds.core.Version(VERSION)
    # Where TFDS looks for checksums of downloads, of which there are none. Its own search for the place needs
    # importlib_resources, which TFDS 4.9.10 does not declare.
    code_path = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "REACT2023 is licence-gated: apply at https://sites.google.com/cam.ac.uk/react2023 and give the folder that "
        "you receive, which holds train.csv and Video_files/."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Conversations of two people as directions: a speaker's face and voice, a listener's reaction.",
            features=features(),
            homepage="https://sites.google.com/cam.ac.uk/react2023",
            disable_shuffling=True,  # record i is direction i
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[int, dict]]]:
        root = Path(dl_manager.manual_dir)
        return {split.name: self._generate_examples(root, split) for split in list_splits(root)}

    def _generate_examples(self, root: Path, split: Split) -> Iterator[tuple[int, dict]]:
        labels, _ = neighbours(root, split)
        for index, (speaker, listener) in enumerate(split.directions):
            clip = read_clip(speaker, listener)
            rows = np.flatnonzero(labels[index])
            yield (
                index,
                to_example(clip, index=index, speaker_id=speaker.id, listener_id=listener.id, neighbours=rows),
            )
