"""The second half of writing shards: encoded pairs become shards, tables and a description."""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from jaxtyping import Bool, Float

from data_pipeline.host_tensorflow import tfds
from data_pipeline.raw_tree.reader import Reader, Tracks
from data_pipeline.shards.description import (
    DESCRIPTION,
    VERSION,
    FileDescription,
    LeftOutRow,
    SplitDescription,
    checksum,
    describe,
)
from data_pipeline.shards.encode_clips import Content, Pair
from data_pipeline.shards.examples import React2023, features, to_example
from data_pipeline.shards.parts import read_part
from data_pipeline.shards.remote import AnyPath, local_folder, send, write_bytes, writing
from data_pipeline.shards.runners import Beam, Processes, Runner

_READERS = 16  # threads that look for files: in a bucket each look takes its time


@dataclass(frozen=True)
class Entry:
    """One record of a shard, before it is written."""

    index: int
    speaker_id: str
    listener_id: str
    neighbours: tuple[int, ...]
    part: AnyPath
    part_key: str


@dataclass(frozen=True)
class WriteShard:
    """The work of one shard file: reads the parts of its clips, writes them in order, removes them."""

    path: AnyPath  # of the shard
    marker: AnyPath  # written after the shard: where it is, the shard is done
    entries: tuple[Entry, ...]

    def key(self) -> str:
        """Changes when the shard would have other bytes."""
        rows = [(e.index, e.speaker_id, e.listener_id, e.neighbours, e.part_key) for e in self.entries]
        return hashlib.sha256(json.dumps([VERSION, rows]).encode()).hexdigest()

    def run(self) -> None:
        """Writes the shard, unless it is there: Beam may do a job twice."""
        if self.result() is not None:
            return
        spec = features()
        serializer = tfds.core.example_serializer.ExampleSerializer(spec.get_serialized_info())
        with writing(self.path), local_folder(beside=self.path.parent.parent) as folder:
            local = folder / self.path.name
            writer = ArrayRecordWriter(os.fspath(local), "group_size:1")
            for entry in self.entries:
                example = to_example(
                    read_part(entry.part),
                    index=entry.index,
                    speaker_id=entry.speaker_id,
                    listener_id=entry.listener_id,
                    neighbours=np.array(entry.neighbours),
                )
                record = serializer.get_tf_example(spec.encode_example(example))
                writer.write(record.SerializeToString(deterministic=True))  # TFDS's own order of fields may vary
            writer.close()
            result = {"key": self.key(), "checksum": checksum(local)}
            send(local, self.path)
        write_bytes(self.marker, json.dumps(result).encode())
        for entry in self.entries:
            entry.part.unlink(missing_ok=True)

    def result(self) -> FileDescription | None:
        """Size and checksum of the shard; None if it has not been written, or has changed since."""
        try:
            found = json.loads(self.marker.read_bytes())
            is_there = found["key"] == self.key() and self.path.is_file()
            result: FileDescription = found["checksum"]
        except Exception:  # absent, damaged, or of a kind of storage with its own exceptions
            return None
        return result if is_there else None


def write_set(
    reader: Reader,
    aside: AnyPath,
    contents: list[Content],
    runner: Runner,
    clips_per_shard: int,
    report: Callable[[str, int, int], None],
) -> None:
    """Writes all files of the set into <aside>/set, the description last; see `write_shards`.

    Args:
      reader: of the data.
      aside: the folder in which the set is made.
      contents: the splits, encoded.
      runner: does the work.
      clips_per_shard: directions in one file.
      report: called with (task, shards done, of how many).
    """
    labels = {c.split.name: c.appropriate.matrix(_LazyTracks(c.pairs)) for c in contents}
    shards = {c.split.name: _plan_shards(aside, c, labels[c.split.name][0], clips_per_shard) for c in contents}
    files = _write_shards([shard for of_split in shards.values() for shard in of_split], contents, runner, report)
    with writing(aside / "set"), local_folder(beside=aside) as folder:
        for content in contents:
            _write_coefficients(folder, content)
            np.save(folder / f"appropriateness_{content.split.name}.npy", labels[content.split.name][0])
            _write_tables(folder, content)
        lengths = {name: [len(shard.entries) for shard in of_split] for name, of_split in shards.items()}
        sizes = {name: sum(files[shard.path.name]["bytes"] for shard in of_split) for name, of_split in shards.items()}
        _write_metadata(folder, lengths, sizes)
        files |= {path.name: checksum(path) for path in folder.iterdir() if path.is_file()}
        mean, std, source = _statistics(reader, folder, contents)
        description = describe(
            frame_size=contents[0].pairs[0].result["sizes"][0],
            coefficient_names=reader.coefficient_names(),
            mean_face=mean.tolist(),
            std_face=std.tolist(),
            statistics_from=source,
            splits={c.split.name: _describe_split(c, *labels[c.split.name]) for c in contents},
            files=dict(sorted(files.items())),
            form=reader.form(),
        )
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        for path in (aside / "set").iterdir():
            if path.name not in files:  # of an earlier run with other settings
                path.unlink()
        for name in [*files, DESCRIPTION]:
            if (folder / name).is_file():
                send(folder / name, aside / "set" / name)


def _plan_shards(
    aside: AnyPath, content: Content, labels: Bool[np.ndarray, "N N"], clips_per_shard: int
) -> list[WriteShard]:
    """The shards of a split: as many directions in each, in order."""
    entries = []
    for index, (speaker, listener) in enumerate(content.split.directions):
        direction, number = divmod(index, len(content.pairs))
        pair = content.pairs[number]
        entries.append(
            Entry(
                index=index,
                speaker_id=speaker,
                listener_id=listener,
                neighbours=tuple(np.flatnonzero(labels[index]).tolist()),
                part=pair.job.part(direction),
                part_key=pair.result["key"],
            )
        )
    count = -(-len(entries) // clips_per_shard)
    names = [f"react2023-{content.split.name}.array_record-{i:05d}-of-{count:05d}" for i in range(count)]
    return [
        WriteShard(
            path=aside / "set" / name,
            marker=aside / "shards" / f"{name}.json",
            entries=tuple(entries[i * clips_per_shard : (i + 1) * clips_per_shard]),
        )
        for i, name in enumerate(names)
    ]


def _write_shards(
    shards: list[WriteShard], contents: list[Content], runner: Runner, report: Callable[[str, int, int], None]
) -> dict[str, FileDescription]:
    """Writes the shards that are not written yet, and returns size and checksum of all."""
    waiting = [shard for shard in shards if shard.result() is None]
    # A pair whose clips went into a shard is needed once more, if the shards are others now.
    parts = [entry.part for shard in waiting for entry in shard.entries]
    with ThreadPoolExecutor(_READERS) as pool:
        lost = {part for part, is_there in zip(parts, pool.map(_is_file, parts), strict=True) if not is_there}
    pairs = [pair.job for content in contents for pair in content.pairs]
    deque(runner.run([pair for pair in pairs if lost & {pair.part(0), pair.part(1)}]), maxlen=0)

    done = len(shards) - len(waiting)
    report("shards", done, len(shards))
    # To join clips is little more than to copy them: processes that import TensorFlow for it would not pay.
    joiner = runner if isinstance(runner, Beam) else Processes(1)
    with contextlib.closing(joiner.run(waiting)) as finished:
        for _ in finished:
            done += 1
            report("shards", done, len(shards))
    results = {shard.path.name: shard.result() for shard in shards}
    return {name: result for name, result in results.items() if result is not None}


def _is_file(path: AnyPath) -> bool:
    return path.is_file()


def _write_metadata(folder: Path, lengths: dict[str, list[int]], sizes: dict[str, int]) -> None:
    """Writes TFDS's own files, dataset_info.json and features.json, from the number of clips in each split's shards."""
    builder = React2023(data_dir=str(folder / "tfds"), file_format="array_record")
    splits = [tfds.core.SplitInfo(name, lengths[name], sizes[name]) for name in lengths]
    builder.info.set_splits(tfds.core.splits.SplitDict(splits))
    builder.info.write_to_directory(folder)


def _coefficients_file(folder: Path, content: Content) -> Path:
    return folder / f"coefficients_{content.split.name}.npy"


def _write_coefficients(folder: Path, content: Content) -> None:
    """Writes a table clip by clip; the shorter clips repeat their last frame, which no crop reaches."""
    length = max(max(pair.lengths) for pair in content.pairs)
    with _table_file(_coefficients_file(folder, content), (2 * len(content.pairs), length, 58)) as file:
        for direction in range(2):
            for pair in content.pairs:
                track = pair.tracks[direction]
                file.write(np.pad(track, ((0, length - len(track)), (0, 0)), mode="edge").tobytes())


@contextlib.contextmanager
def _table_file(path: Path, shape: tuple[int, int, int]) -> Iterator[BinaryIO]:
    """An .npy of float32 to which the rows are written one after the other, so that none has to be in memory.

    Not mapped into memory: there a full disk ends the process without a word.
    """
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def _write_tables(folder: Path, content: Content) -> None:
    """Writes <kind>_<split>.npy for what is kept beside the examples, float32 [2n, T, C]; what a clip lacks is NaN.

    Row i is of direction i's speaker, as in the table of coefficients.
    """
    widths: dict[str, int] = {}
    for pair in content.pairs:
        widths |= {kind: table.shape[1] for tables in pair.tables for kind, table in tables.items()}
    if not widths:
        return
    count, length = len(content.pairs), max(max(pair.result["frames"]) for pair in content.pairs)
    with contextlib.ExitStack() as stack:
        files = {
            kind: stack.enter_context(
                _table_file(folder / f"{kind}_{content.split.name}.npy", (2 * count, length, width))
            )
            for kind, width in widths.items()
        }
        for direction in range(2):
            for pair in content.pairs:
                tables = pair.tables[direction]
                for kind, width in widths.items():
                    rows = np.full((length, width), np.nan, np.float32)
                    if kind in tables:
                        rows[: len(tables[kind])] = tables[kind]
                    files[kind].write(rows.tobytes())


@dataclass(frozen=True)
class _LazyTracks(Sequence[Tracks]):
    """Coefficients of pieces, read when they are asked for: a rule that does not look at them costs nothing."""

    pairs: list[Pair]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]  # an overload a kind of index says no more
        return self.pairs[number].tracks


def _statistics(
    reader: Reader, folder: Path, contents: list[Content]
) -> tuple[Float[np.ndarray, "58"], Float[np.ndarray, "58"], str]:
    """mean_face, std_face, and where they come from; `folder` has the tables already."""
    if statistics := reader.statistics():
        return *statistics, "the tree's mean_face.npy and std_face.npy"
    (train,) = (content for content in contents if content.split.name == "train")
    table = np.load(_coefficients_file(folder, train), mmap_mode="r")
    count = sum(sum(pair.lengths) for pair in train.pairs)
    mean = _sum(_frames(table, train)) / count
    return mean, np.sqrt(_sum(np.square(frames - mean) for frames in _frames(table, train)) / count), "the train split"


def _frames(table: Float[np.ndarray, "N T 58"], content: Content) -> Iterator[Float[np.ndarray, "_ 58"]]:
    """Coefficients of each piece's first person, then of its second, in float64."""
    for number, pair in enumerate(content.pairs):
        for direction, length in enumerate(pair.lengths):
            yield table[number + direction * len(content.pairs), :length].astype(np.float64)


def _sum(clips: Iterable[Float[np.ndarray, "_ 58"]]) -> Float[np.ndarray, "58"]:
    """Adds frame after frame, as NumPy does when all are one array: the result has the same bits."""
    total = np.zeros(58)
    for frames in clips:
        total = np.concatenate([total[None], frames]).sum(axis=0)
    return total


def _describe_split(content: Content, labels: Bool[np.ndarray, "N N"], labels_from: str) -> SplitDescription:
    frames = [pair.result["frames"][direction] for direction in range(2) for pair in content.pairs]
    return {
        "clips": len(frames),
        "frames": frames,
        "clip_ids": [speaker for speaker, _ in content.split.directions],
        "max_neighbours": int(labels.sum(axis=1).max()),
        "appropriateness_from": labels_from,
        "csv_rows": content.split.num_rows,
        "left_out": [cast(LeftOutRow, vars(row)) for row in content.split.left_out],
    }
