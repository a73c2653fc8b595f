"""From a raw tree to shards, and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from raw_tree import coefficients, frame, person, write_csv, write_labels, write_names, write_split

from data_pipeline.host_tensorflow import tfds
from data_pipeline.loader import open_shards
from data_pipeline.raw_tree.check import check
from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.shards.command import shards
from data_pipeline.shards.verify import verify
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_split(root, "train", [6, 5])
    write_split(root, "val", [4])
    write_labels(
        root / "neighbour_emotion_train.npy", np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]])
    )
    write_names(root, [f"n{i}" for i in range(52)])
    return root


@pytest.fixture(scope="module")
def folder(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "shards"
    write_shards(tree, out)
    return out


def test_example_holds_the_files(tree: Path, folder: Path) -> None:
    shard_set = open_shards(folder)
    example = shard_set.example("train", 3)  # the second pair, swapped
    assert example["index"] == 3
    assert example["speaker_id"].decode() == person("train", 1, "Novice")
    assert example["listener_id"].decode() == person("train", 1, "Expert")
    np.testing.assert_array_equal(example["speaker"], coefficients(3, 5))
    np.testing.assert_array_equal(example["listener"], coefficients(1, 5))
    np.testing.assert_array_equal(example["speaker_attributes"], np.full((5, 25), 3))
    np.testing.assert_array_equal(example["listener_attributes"], np.full((5, 25), 1))
    np.testing.assert_array_equal(example["neighbours"], [0, 1, 2, 3])
    assert len(example["frames"]) == 5
    for t, picture in enumerate(example["frames"]):
        assert abs(picture.astype(int) - frame(3, t)).max() < 16  # H.264 and JPEG
    assert abs(example["portrait"].astype(int) - frame(1, 0)).max() < 16
    audio = read_audio(list_splits(tree)[0].directions[3][0].audio)
    np.testing.assert_allclose(example["audio"] / 32768, audio, atol=1 / 32768)


def test_tfds_reads_the_set(folder: Path) -> None:
    builder = tfds.builder_from_directory(folder)
    assert builder.name == "react2023"
    ids = [example["speaker_id"].decode() for example in builder.as_data_source("train")]
    assert ids == open_shards(folder).clip_ids("train")


def test_tables_and_description(folder: Path) -> None:
    shard_set = open_shards(folder)
    description = shard_set.description
    speaker, listener = shard_set.coefficients("train")
    assert speaker.dtype == np.float32
    for row in range(4):  # cut to the shortest clip's 5 frames
        np.testing.assert_array_equal(speaker[row], coefficients(row, 5 + (row % 2 == 0))[:5])
        np.testing.assert_array_equal(listener[row], speaker[(row + 2) % 4])
    everything = np.concatenate([coefficients(row, 5 + (row % 2 == 0)) for row in range(4)])
    np.testing.assert_allclose(description["mean_face"], everything.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(description["std_face"], everything.std(axis=0), rtol=1e-4)
    assert description["coefficient_names"][51:53] == ["n51", "rotation_x"]
    assert description["frame_size"] == [64, 64]
    assert description["splits"]["train"]["frames"] == [6, 5, 6, 5]
    assert description["splits"]["train"]["max_neighbours"] == 4
    np.testing.assert_array_equal(shard_set.appropriateness("train").sum(axis=1), [2, 2, 1, 4])
    np.testing.assert_array_equal(shard_set.appropriateness("val"), np.eye(2, dtype=bool))  # no matrix in the tree
    with pytest.raises(UserError, match="has no split test; it has train, val"):
        shard_set.coefficients("test")


def test_rows_left_out_are_listed(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    write_split(root, "val", [2])
    np.save(root / "mean_face.npy", np.ones(58))
    np.save(root / "std_face.npy", np.ones(58))
    here = [person("val", 0, "Expert"), person("val", 0, "Novice")]
    write_csv(root / "val.csv", [["UDIVA/talk/1", "UDIVA/talk/2"], here])
    description = write_shards(root, tmp_path / "shards")
    assert description["splits"]["val"]["clips"] == 2
    (left_out,) = description["splits"]["val"]["left_out"]
    assert left_out["row"] == 0
    assert left_out["reason"].startswith("speaker has no video")
    assert description["mean_face"] == [1.0] * 58


def test_nothing_is_written_when_a_file_is_bad(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    write_split(root, "train", [3, 3])
    list_splits(root)[0].pairs[1][0].video.write_text("not a video")
    with pytest.raises(UserError, match=r"train_001/Expert_video/1\.mp4 is not a video"):
        write_shards(root, tmp_path / "shards")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".shards.partial", "raw"]  # what was done is kept


def test_videos_of_two_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "raw"
    write_split(root, "train", [2])
    monkeypatch.setattr("raw_tree.SIZE", 32)
    write_split(root, "val", [2])
    with pytest.raises(
        UserError, match=r"val_000/Expert_video/1 is 32x32, that of NoXI/train_000/Expert_video/1 64x64"
    ):
        write_shards(root, tmp_path / "shards")


def test_existing_folder_is_kept(tree: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"exists already; .*--overwrite"):
        write_shards(tree, folder)


def test_no_statistics(tmp_path: Path) -> None:
    write_split(tmp_path / "raw", "val", [2])
    with pytest.raises(UserError, match=r"has neither train\.csv nor mean_face\.npy"):
        write_shards(tmp_path / "raw", tmp_path / "shards")


class TestOpening:
    @pytest.fixture
    def copy(self, folder: Path, tmp_path: Path) -> Path:
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        return copy

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nowhere is not a shard set: .*prepare shards"):
            open_shards(tmp_path / "nowhere")

    def test_other_version(self, copy: Path) -> None:
        description = json.loads((copy / "description.json").read_text())
        (copy / "description.json").write_text(json.dumps(description | {"version": "0.9.0"}))
        with pytest.raises(UserError, match=r"has version 0\.9\.0 of the shards' format, not 1\.0\.0"):
            open_shards(copy)

    def test_description_cut_off(self, copy: Path) -> None:
        (copy / "description.json").write_text('{"version"')
        with pytest.raises(UserError, match=r"description\.json can't be read: it is not JSON"):
            open_shards(copy)

    def test_shard_cut_off(self, copy: Path) -> None:
        (shard,) = copy.glob("*-train.array_record*")
        shard.write_bytes(shard.read_bytes()[:1000])
        with pytest.raises(UserError, match=r"react2023-train\.array_record-00000-of-00001 has 1000 bytes, not"):
            open_shards(copy)
        shard.unlink()
        with pytest.raises(UserError, match=r"react2023-train\.array_record-00000-of-00001 is missing"):
            open_shards(copy)

    def test_damaged_shard(self, copy: Path) -> None:
        (shard,) = copy.glob("*-train.array_record*")
        content = bytearray(shard.read_bytes())
        content[64:2000] = bytes(1936)
        shard.write_bytes(content)
        with pytest.raises(UserError, match=r"train\.array_record-00000-of-00001 is damaged: its checksum is another"):
            verify(str(copy))
        batches = open_shards(copy).clip_batches("train", batch_size=4, num_frames=0, image_size=56)
        with pytest.raises(UserError, match=r"record 0 of .*react2023-train\.array_record-00000-of-00001 is damaged"):
            next(batches)


def test_command_line(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check(str(tree))
    shards(str(tree), "shards", workers=1)
    verify("shards")
    printed = capsys.readouterr().out
    assert "neighbour_emotion_train.npy, appropriate reactions a clip: mean 2.2, most 4" in printed
    assert "6 clips" in printed
    assert "all files and all examples are whole" in printed


def test_check_refuses_a_tree_without_training_data(tmp_path: Path) -> None:
    write_split(tmp_path, "val", [2])
    with pytest.raises(UserError, match=r"has no train\.csv, so nothing can be trained"):
        check(str(tmp_path), rows=str(tmp_path / "left_out.csv"))
