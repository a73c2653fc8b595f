"""Batches: what is in them, and that they depend only on seed and step."""

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from raw_tree import coefficients, frame, write_labels, write_split, write_wav

from data_pipeline.loader import ShardSet, open_shards
from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.shards.verify import verify
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio
from reactface_jax.media.normalisation import normalise
from reactface_jax.methods.listener.config import ListenerData
from reactface_jax.methods.listener.training_data import of_shards
from reactface_jax.training.neighbour_table import NeighbourTable
from reactface_jax.training.sharding import make_mesh
from reactface_jax.types import Batch

LENGTHS = [12, 11, 12]
LABELS = np.eye(6) + np.eye(6, k=1) + np.eye(6, k=-2) + np.eye(6, k=4)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_split(root, "train", LENGTHS)
    write_labels(root / "neighbour_emotion_train.npy", LABELS)
    write_wav(list_splits(root)[0].directions[0][0].audio, 0.4, seed=9)  # 10 of the clip's 12 frames
    return root


@pytest.fixture(scope="module")
def shard_set(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("data") / "shards"
    write_shards(tree, folder)
    return open_shards(folder)


def train(shard_set: ShardSet, **changes: Any) -> Iterator[Batch]:
    settings = {"batch_size": 4, "num_frames": 8, "image_size": 56, "max_neighbours": 80, "seed": 3}
    return shard_set.train_batches("train", **(settings | changes))


def assert_same(one: Batch, two: Batch) -> None:
    for name, a, b in zip(Batch._fields, one, two, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def start_of(batch: Batch, row: int, shard_set: ShardSet) -> int:
    """The frame at which a crop begins, found by its coefficients."""
    clip = batch.clip[row]
    whole = coefficients(int(clip), LENGTHS[clip % 3])
    first = batch.speaker[row, 0] + shard_set.mean_face
    (start,) = np.flatnonzero(np.isclose(whole, first, atol=1e-5).all(axis=1))
    return int(start)


def test_shapes_and_types(shard_set: ShardSet) -> None:
    batch = next(train(shard_set))
    shapes = {name: (array.shape, array.dtype.name) for name, array in zip(Batch._fields, batch, strict=True)}
    assert shapes == {
        "video": ((4, 8, 56, 56, 3), "uint8"),
        "audio": ((4, 8 * 640), "float32"),
        "speaker": ((4, 8, 58), "float32"),
        "listener": ((4, 8, 58), "float32"),
        "neighbours": ((4, 3, 2), "int32"),
        "neighbour_mask": ((4, 3), "bool"),
        "clip": ((4,), "int32"),
    }


def test_everything_in_a_crop_is_of_its_moment(tree: Path, shard_set: ShardSet) -> None:
    directions = list_splits(tree)[0].directions
    starts = set()
    for batch in itertools.islice(train(shard_set), 6):
        for row, clip in enumerate(batch.clip):
            start = start_of(batch, row, shard_set)
            starts.add((LENGTHS[clip % 3], start))
            window = slice(start, start + 8)
            length = LENGTHS[clip % 3]
            speaker, listener = coefficients(clip, length)[window], coefficients((clip + 3) % 6, length)[window]
            np.testing.assert_allclose(batch.speaker[row] + shard_set.mean_face, speaker, atol=1e-5)
            np.testing.assert_allclose(batch.listener[row] + shard_set.mean_face, listener, atol=1e-5)
            for t in range(8):
                expected = frame(clip, start + t)[4:60, 4:60].astype(int)
                assert abs(batch.video[row, t] - expected).max() < 16  # H.264 and JPEG
            audio = normalise(read_audio(directions[clip][0].audio))
            audio = np.pad(audio, (0, 640 * 12))[640 * start : 640 * (start + 8)]
            np.testing.assert_allclose(batch.audio[row], audio, atol=1e-3)  # 16-bit samples
    # Every start that there is, and none beyond.
    assert starts == {(12, start) for start in range(5)} | {(11, start) for start in range(4)}


def test_each_epoch_has_every_clip_once_in_another_order(shard_set: ShardSet) -> None:
    order = np.concatenate([batch.clip for batch in itertools.islice(train(shard_set), 9)]).reshape(6, 6)
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(6), (6, 1)))
    assert len({tuple(epoch) for epoch in order}) > 3


def test_resumes_at_any_step(shard_set: ShardSet) -> None:
    undisturbed = list(itertools.islice(train(shard_set), 5))
    for batch, again in zip(undisturbed[2:], train(shard_set, start_step=2), strict=False):
        assert_same(batch, again)
    far = next(train(shard_set, start_step=10_000_000))  # at once
    assert far.clip.min() >= 0


def test_seed_decides(shard_set: ShardSet) -> None:
    assert_same(next(train(shard_set)), next(train(shard_set)))
    orders = {seed: [tuple(b.clip) for b in itertools.islice(train(shard_set, seed=seed), 3)] for seed in (3, 4)}
    assert orders[3] != orders[4]


def test_hosts_share_the_global_batch(shard_set: ShardSet) -> None:
    whole = next(train(shard_set, start_step=1))
    parts = [next(train(shard_set, start_step=1, rows=rows)) for rows in ([0, 1], [2, 3])]
    assert_same(whole, Batch(*map(np.concatenate, zip(*parts, strict=True))))
    rows = next(train(shard_set, start_step=1, rows=[3, 1]))  # devices may lie in another order than hosts
    assert_same(rows, Batch(*(x[[3, 1]] for x in whole)))


@pytest.mark.parametrize("most", [80, 2, 1])
def test_neighbours_are_the_listeners_of_the_matrix(shard_set: ShardSet, most: int) -> None:
    table = NeighbourTable(shard_set.listeners("train"), make_mesh(jax.devices()[:1]))
    pointers = next(train(shard_set, max_neighbours=most))
    batch = table.filled_on_host(pointers)
    np.testing.assert_array_equal(batch.neighbours, table.filled(jax.device_put(pointers)).neighbours)
    np.testing.assert_array_equal(batch.neighbours[:, 0], batch.listener)  # the clip's own comes first
    for row, clip in enumerate(batch.clip):
        start = start_of(batch, row, shard_set)
        others = [j for j in np.flatnonzero(LABELS[clip]) if j != clip]
        rows = [clip, *others][:most]
        assert batch.neighbour_mask[row].sum() == len(rows)
        for m, neighbour in enumerate(rows):
            length = LENGTHS[neighbour % 3]
            begin = min(start, length - 8)  # where a neighbour is shorter than the clip
            expected = coefficients((neighbour + 3) % 6, length)[begin : begin + 8]
            np.testing.assert_allclose(batch.neighbours[row, m] + shard_set.mean_face, expected, atol=1e-5)
        assert not pointers.neighbours[row, len(rows) :].any()


@pytest.mark.parametrize("image_size", [24, 32, 112])
def test_pictures_are_resized(shard_set: ShardSet, image_size: int) -> None:
    small, full = (next(train(shard_set, image_size=size)) for size in (image_size, 56))
    assert small.video.shape == (4, 8, image_size, image_size, 3)
    # Flat colours: scaling while decoding changes nothing.
    assert abs(small.video[..., 5, 5, :].astype(int) - full.video[..., 20, 20, :]).max() <= 4


def test_whole_clips_in_order(shard_set: ShardSet) -> None:
    batches = list(shard_set.clip_batches("train", batch_size=4, num_frames=None, image_size=56))
    np.testing.assert_array_equal([batch.clip for batch in batches], [[0, 1, 2, 3], [4, 5, -1, -1]])
    assert batches[0].video.shape == (4, 11, 56, 56, 3)
    assert batches[0].neighbours.shape == (4, 0, 2)
    np.testing.assert_array_equal(batches[1].video[1], batches[1].video[3])
    speaker, listener = shard_set.coefficients("train")
    found = np.concatenate([batch.speaker for batch in batches])[:6] + shard_set.mean_face
    np.testing.assert_allclose(found, speaker, atol=1e-5)
    found = np.concatenate([batch.listener for batch in batches])[:6] + shard_set.mean_face
    np.testing.assert_allclose(found, listener, atol=1e-5)


def test_clips_shorter_than_asked_for(shard_set: ShardSet) -> None:
    message = r"clips of 12 frames are asked for, but NoXI/train_001/Expert_video/1 of split train in .* has 11"
    with pytest.raises(UserError, match=message):
        train(shard_set, num_frames=12)
    with pytest.raises(UserError, match=message):
        shard_set.clip_batches("train", batch_size=1, num_frames=12, image_size=56)


@pytest.fixture(scope="module")
def blind(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The shards of the same tree, but that its Video_files are gone."""
    root = tmp_path_factory.mktemp("raw") / "blind"
    shutil.copytree(tree, root, ignore=shutil.ignore_patterns("Video_files"))
    folder = tmp_path_factory.mktemp("data") / "blind"
    write_shards(root, folder)
    return open_shards(folder)


def test_tree_without_pictures_gives_the_rest(shard_set: ShardSet, blind: ShardSet) -> None:
    assert shard_set.has_pictures
    assert not blind.has_pictures
    verify(str(blind.folder))
    for batch, without, skipped in zip(
        itertools.islice(train(shard_set), 2), train(blind, image_size=0), train(shard_set, image_size=0), strict=False
    ):
        assert without.video.shape == (4, 8, 0, 0, 3)
        for other in (without, skipped):
            assert_same(batch._replace(video=other.video), other)
    assert next(blind.clip_batches("train", batch_size=2, num_frames=8, image_size=0)).video.shape == (2, 8, 0, 0, 3)


def test_the_listener_learns_from_shards_without_pictures(shard_set: ShardSet, blind: ShardSet) -> None:
    config = ListenerData(neighbours=2, seconds=0.32)
    seen, unseen = of_shards(shard_set, config), of_shards(blind, config)
    assert unseen.listener.shape == (6, 2, 8, 58)
    assert unseen.sound.shape[:2] == (6, 8)
    for one, other in zip(seen, unseen, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pictures_that_are_not_there(blind: ShardSet) -> None:
    with pytest.raises(UserError, match=r"has no pictures; ask for --data.image-size 0"):
        next(train(blind))


def test_a_script_may_end_with_open_loaders(shard_set: ShardSet) -> None:
    """The example of docs/data.md, which closes nothing; TensorFlow's threads aborted the process."""
    root = Path(__file__).parents[2]
    found = re.search(r"```python\n(from data_pipeline\.loader .*?)```", (root / "docs/data.md").read_text(), re.DOTALL)
    assert found
    example = found[1].replace("(DIR)", f"({str(shard_set.folder)!r})")
    example = example.replace("num_frames=256, image_size=224", "num_frames=8, image_size=56")
    clips = 'clips = shard_set.clip_batches("train", batch_size=4, num_frames=8, image_size=0)\nnext(clips)\n'
    for last, code, errors in (("", 0, r""), ("raise RuntimeError('a mistake')", 1, r"Traceback .*: a mistake\n")):
        script = [sys.executable, "-c", example + clips + last]
        ended = subprocess.run(script, cwd=root, capture_output=True, text=True, check=False)
        assert re.fullmatch(errors, ended.stderr, re.DOTALL), ended.stderr
        assert ended.returncode == code
