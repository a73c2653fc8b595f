"""Shards of REACT2023: the TFDS builder, and the one description of an example that writer and reader share.

A shard set is a folder:

    react2023-<split>.array_record-*   one record a direction, in the split's order
    coefficients_<split>.npy           raw coefficients of each direction's speaker, float32 [2n, T, 58];
                                       row i + n (modulo 2n) is the listener of row i
    appropriateness_<split>.npy        bool [2n, 2n]
    description.json                   counts, checksums, names, mean_face: see `describe`
    dataset_info.json features.json    TFDS's own: `tfds.builder_from_directory` reads the set too

ArrayRecord and not TFRecord: it reads the record at any index at once, so that the loader's order can be a pure
function of seed and step, without a shuffle buffer, and resuming costs nothing.
The table is float32, 0.9 GB for all of REACT2023: half precision would do for the loss, but the table also serves the
metrics, which need the exact numbers, and it is mapped into memory, so that only what is read counts.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.clips import Clip, ReadClips, clip_reader, read_clips
from data_pipeline.host_tensorflow import tfds
from data_pipeline.react2023 import (
    NUM_ATTRIBUTES,
    Split,
    list_splits,
    read_appropriateness,
    read_coefficient_names,
    read_coefficients,
    read_statistics,
)
from reactface_jax.errors import UserError
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE

VERSION = "1.0.0"  # of the shards' format; the loader refuses others
DESCRIPTION = "description.json"


def features() -> tfds.features.FeaturesDict:
    """What an example holds. Arrays are stored as raw bytes: a tf.train.Example would make 8-byte integers of int16."""
    array = tfds.features.Tensor
    track = lambda width: array(shape=(None, width), dtype=np.float32, encoding="bytes")  # noqa: E731
    return tfds.features.FeaturesDict(
        {
            "index": array(shape=(), dtype=np.int64),  # row in the split's order
            "speaker_id": tfds.features.Text(),
            "listener_id": tfds.features.Text(),
            # T JPEGs: the loader decodes only those of a step's crop.
            "frames": tfds.features.Sequence(tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")),
            "audio": array(shape=(None,), dtype=np.int16, encoding="bytes"),  # 16 kHz, the speaker's whole file
            "speaker": track(NUM_COEFFICIENTS),  # raw
            "listener": track(NUM_COEFFICIENTS),
            "speaker_attributes": track(NUM_ATTRIBUTES),  # no rows where the tree has none
            "listener_attributes": track(NUM_ATTRIBUTES),
            "portrait": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),  # listener's first frame
            "neighbours": array(shape=(None,), dtype=np.int32, encoding="bytes"),  # rows of appropriate listeners
        }
    )


class React2023(tfds.core.GeneratorBasedBuilder):
    """TFDS builder `react2023`; `manual_dir` is the raw tree. `write_shards` runs it and adds tables and description.

    Args:
      read_clips: reads the directions of a split in order; see `clip_reader` for several processes.
      on_clip: called with (split, clip) for every example written.
    """

    VERSION = tfds.core.Version(VERSION)
    # Where TFDS looks for checksums of downloads, of which there are none. Its own search for the place needs
    # importlib_resources, which TFDS 4.9.10 does not declare.
    code_path = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "REACT2023 is licence-gated: apply at https://sites.google.com/cam.ac.uk/react2023 and give the folder that "
        "you receive, which holds train.csv and Video_files/."
    )

    def __init__(
        self,
        *,
        read_clips: ReadClips = read_clips,
        on_clip: Callable[[str, Clip], None] = lambda split, clip: None,
        **kwargs: Any,
    ) -> None:
        self.read_clips = read_clips
        self.on_clip = on_clip
        super().__init__(**kwargs)

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
        labels = read_appropriateness(root, split)
        for index, clip in enumerate(self.read_clips(split.directions)):
            # Without a matrix a clip's only known appropriate reaction is its own listener's.
            neighbours = np.array([index]) if labels is None else np.flatnonzero(labels[0][index])
            example = {
                "index": index,
                "speaker_id": clip.speaker_id,
                "listener_id": clip.listener_id,
                "frames": clip.frames,
                "audio": clip.audio,
                "speaker": clip.speaker,
                "listener": clip.listener,
                "speaker_attributes": clip.speaker_attributes,
                "listener_attributes": clip.listener_attributes,
                "portrait": clip.portrait,
                "neighbours": neighbours.astype(np.int32),
            }
            self.on_clip(split.name, clip)
            yield index, example


def write_shards(
    raw: Path,
    out: Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_clip: Callable[[str, Clip], None] = lambda split, clip: None,
) -> dict[str, Any]:
    """Writes the shard set of a raw tree. It appears at `out` when it is complete, and not before.

    Args:
      raw: the tree, see data_pipeline/react2023.py.
      out: the folder to make.
      workers: processes that decode videos.
      overwrite: replace an existing `out`.
      on_clip: called with (split, clip) after each direction.

    Returns:
      The description, as in description.json.

    Raises:
      UserError: `out` exists, or the tree has something that can't be used.
    """
    if out.exists() and not overwrite and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists already; choose another --out, or replace it with --overwrite")
    splits = list_splits(raw)
    # All that is cheap to read comes first, so that a bad file stops the work in seconds.
    tracks = {
        split.name: [read_coefficients(speaker.coefficients) for speaker, _ in split.directions] for split in splits
    }
    labels = {split.name: read_appropriateness(raw, split) for split in splits}
    names = read_coefficient_names(raw)
    mean, std, source = _statistics(raw, tracks)

    clips: dict[str, list[dict[str, Any]]] = {split.name: [] for split in splits}
    sizes: dict[tuple[int, int], str] = {}  # frame sizes, and the first clip that has each

    def note(split: str, clip: Clip) -> None:
        sizes.setdefault(clip.size, clip.speaker_id)
        if len(sizes) > 1:
            (first, one), (other, two) = sizes.items()
            raise UserError(
                f"the video of {two} is {other[0]}x{other[1]}, that of {one} {first[0]}x{first[1]}; convert one of them"
            )
        clips[split].append({"id": clip.speaker_id, "frames": len(clip.frames)})
        on_clip(split, clip)

    aside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        folder = _run_builder(raw, aside, workers, note)
        for split in splits:
            found = labels[split.name]
            matrix = np.eye(len(split.directions), dtype=bool) if found is None else found[0]
            np.save(folder / f"coefficients_{split.name}.npy", _table(tracks[split.name]))
            np.save(folder / f"appropriateness_{split.name}.npy", matrix)
        description = {
            "format": "react2023",
            "version": VERSION,
            "frame_rate": FRAME_RATE,
            "sample_rate": SAMPLE_RATE,
            "frame_size": list(next(iter(sizes))),
            "coefficient_names": names,
            "mean_face": mean.tolist(),
            "std_face": std.tolist(),
            "statistics_from": source,
            "splits": {split.name: _describe_split(split, clips[split.name], labels[split.name]) for split in splits},
            "files": {path.name: checksum(path) for path in sorted(folder.iterdir())},
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        os.replace(folder, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return description


def _run_builder(raw: Path, aside: Path, workers: int, on_clip: Callable[[str, Clip], None]) -> Path:
    """Runs TFDS, and returns the folder that it wrote."""
    tfds.disable_progress_bar()  # its bars count the files of its own phases; the command line shows clips
    with clip_reader(workers) as read, contextlib.redirect_stdout(None):  # TFDS prints a line about downloads
        builder = React2023(read_clips=read, on_clip=on_clip, data_dir=str(aside), file_format="array_record")
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=raw.resolve()),
            download_dir=str(aside / "downloads"),  # stays empty; its default would be in the home folder
        )
    return Path(builder.data_dir)


def _table(tracks: list[Float[np.ndarray, "_ 58"]]) -> Float[np.ndarray, "N T 58"]:
    """Stacks clips of different lengths; the shorter ones hold their last frame, which no crop reaches."""
    length = max(map(len, tracks))
    return np.stack([np.pad(track, ((0, length - len(track)), (0, 0)), mode="edge") for track in tracks])


def _statistics(
    raw: Path, tracks: dict[str, list[Float[np.ndarray, "_ 58"]]]
) -> tuple[Float[np.ndarray, "58"], Float[np.ndarray, "58"], str]:
    """mean_face, std_face, and where they come from."""
    if statistics := read_statistics(raw):
        return *statistics, "the tree's mean_face.npy and std_face.npy"
    if "train" not in tracks:
        raise UserError(f"{raw} has neither train.csv nor mean_face.npy and std_face.npy; add one of them")
    frames = np.concatenate(tracks["train"]).astype(np.float64)
    return frames.mean(axis=0), frames.std(axis=0), "the train split"


def _describe_split(
    split: Split, clips: list[dict], labels: tuple[Bool[np.ndarray, "N N"], Path] | None
) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "frames": [clip["frames"] for clip in clips],
        "clip_ids": [clip["id"] for clip in clips],
        "max_neighbours": 1 if labels is None else int(labels[0].sum(axis=1).max()),
        "appropriateness_from": labels[1].name if labels else "no matrix: each clip's own listener only",
        "csv_rows": split.num_rows,
        "left_out": [vars(row) for row in split.left_out],
    }


def checksum(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as the description lists them."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
