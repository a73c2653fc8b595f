"""Tables and statistics of a set: what they hold, in the memory of a few clips, however many there are."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from unit import open_trees

from data_pipeline.labels.appropriateness import standardised
from data_pipeline.open_data.appropriate import Paired
from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.open_reader import OpenReader
from data_pipeline.raw_tree.reader import Pieces, Reader
from data_pipeline.shards.assembly import _statistics, _write_coefficients, _write_tables
from data_pipeline.shards.encode_clips import Content, Pair
from data_pipeline.shards.parts import EncodePair
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError

CUTTING = Cutting(piece_seconds=2, min_seconds=1)
READER = cast(Reader, SimpleNamespace(statistics=lambda: None))


def measured(folder: Path, lengths: list[int]) -> Content:
    """A split of pieces whose coefficients were measured and put aside; every other person has an array beside."""
    pairs = []
    for number, length in enumerate(lengths):
        rng = np.random.default_rng(number)
        job = EncodePair(folder, "train", number, cast(Any, None))
        arrays = {name: rng.normal(number, 1, (length, 58)).astype(np.float32) for name in "01"}
        np.savez(job.tables_file, **arrays, **{"0.confidence": np.full((length, 1), number, np.float32)})
        pairs.append(Pair(job, None, {"key": "", "frames": [length, length]}))
    pieces = Pieces("train", [cast(Any, None)] * len(lengths), list(range(len(lengths))), len(lengths), [])
    return Content(pieces, Paired(len(lengths)), pairs)


def test_tables_and_statistics_are_those_of_all_in_memory(tmp_path: Path) -> None:
    """To the bit, and to the byte of the file."""
    content = measured(tmp_path, [300, 1, 217])
    _write_coefficients(tmp_path, content)
    _write_tables(tmp_path, content)
    tracks = [pair.tracks[direction] for direction in range(2) for pair in content.pairs]
    table = np.stack([np.pad(track, ((0, 300 - len(track)), (0, 0)), mode="edge") for track in tracks])
    np.save(tmp_path / "expected.npy", table)
    assert (tmp_path / "coefficients_train.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    confidence = np.load(tmp_path / "confidence_train.npy")
    assert confidence.shape == (6, 300, 1)
    assert (np.isfinite(confidence).sum(axis=(1, 2)) == [300, 1, 217, 0, 0, 0]).all()
    assert (confidence[2, :217] == 2).all()
    mean, std, source = _statistics(READER, tmp_path, [content])
    frames = np.concatenate([track for pair in content.pairs for track in pair.tracks]).astype(np.float64)
    np.testing.assert_array_equal(mean, frames.mean(axis=0))
    np.testing.assert_array_equal(std, frames.std(axis=0))
    assert source == "the train split"


@pytest.mark.parametrize("count", [10, 40])
def test_memory(tmp_path: Path, count: int) -> None:
    """A clip of 30 s is 174 kB, the table of 80 clips 14 MB."""
    content = measured(tmp_path, [750] * count)
    tracemalloc.start()
    try:
        _write_coefficients(tmp_path, content)
        _write_tables(tmp_path, content)
        _statistics(READER, tmp_path, [content])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6


def test_memory_of_comparing_speakers(tmp_path: Path) -> None:
    """Every five frames are averaged first: a fifth of the table in float32, two fifths in float64, a fifth again."""
    speakers = [pair.tracks[0] for pair in measured(tmp_path, [750] * 40).pairs]
    tracemalloc.start()
    try:
        found = standardised(speakers, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 40
    assert peak < 0.85 * sum(speaker.nbytes for speaker in speakers)


def test_kept_arrays_of_two_widths(tmp_path: Path) -> None:
    """They have one table; the second piece says so, not the end of the work."""
    for name in ("x_000", "x_001", "x_002"):
        open_trees.dualtalk_pair(tmp_path / "raw" / "train", name, [(0, 1.9)])
    wide = tmp_path / "raw" / "train" / "x_001_speaker1.npz"
    with np.load(wide) as arrays:
        np.savez(wide, **dict(arrays), extra=np.ones((50, 4)))
    narrow = tmp_path / "raw" / "train" / "x_000_speaker2.npz"
    with np.load(narrow) as arrays:
        np.savez(narrow, **dict(arrays), extra=np.ones((50, 1)))
    with pytest.raises(
        UserError,
        match=r"theirs_extra of x_001/speaker1/0 has 4 columns, that of x_000/speaker2/0 1; leave it out of --keep",
    ):
        write_shards(OpenReader(tmp_path / "raw", "dualtalk", CUTTING, ("flame", "extra")), tmp_path / "shards")
    assert len(list((tmp_path / ".shards.partial" / "clips").glob("*.json"))) == 2
    write_shards(OpenReader(tmp_path / "raw", "dualtalk", CUTTING, ("flame", "exp")), tmp_path / "shards")
    assert np.load(tmp_path / "shards" / "theirs_exp_train.npy").shape == (6, 50, 50)
