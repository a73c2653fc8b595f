"""Seamless Interaction's forms with the traps of the audit: what is listed, what is left out and why, and labels."""

import shutil
import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit import open_trees

from data_pipeline.open_data import faces, following
from data_pipeline.open_data.appropriate import NearInGroups
from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.faces import Boxes, View
from data_pipeline.open_data.features import Feature
from data_pipeline.open_data.media import look_at
from data_pipeline.open_data.members import list_members
from data_pipeline.open_data.open_reader import OpenReader
from data_pipeline.open_data.pieces import OpenPiece
from reactface_jax.errors import UserError

CUTTING = Cutting(piece_seconds=4, min_seconds=2)
KEEP = ("movement:FAUValue", "smplh:global_orient")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_trees.seamless(tmp_path_factory.mktemp("seamless") / "raw")


@pytest.fixture(scope="module")
def reader(tree: Path) -> OpenReader:
    return OpenReader(tree, "seamless", CUTTING, KEEP)


def test_pieces_and_who_speaks_in_them(reader: OpenReader) -> None:
    train, val = reader.splits()
    assert (train.name, val.name) == ("train", "val")
    first, second = "V00_S0001_I00000007_P0001", "V00_S0001_I00000007_P0002A"
    other, partner = "V01_S0002_I00000007_P0003", "V01_S0002_I00000007_P0004"
    assert [piece.ids for piece in train.pieces] == [
        (f"{first}/0", f"{second}/0"),
        (f"{second}/4", f"{first}/4"),
        ("V00_S0005_I00000010_P0008/0", "V00_S0005_I00000010_P0009/0"),
        ("V00_S0005_I00000010_P0009/4", "V00_S0005_I00000010_P0008/4"),
        (f"{other}/0", f"{partner}/0"),
        (f"{other}/4", f"{partner}/4"),
        (f"{partner}/8", f"{other}/8"),
    ]
    assert train.directions[7] == (f"{second}/0", f"{first}/0")
    assert [piece.ids[0] for piece in val.pieces] == ["V00_S0007_I00000007_P0012/0"]


def test_what_is_left_out_and_why(reader: OpenReader) -> None:
    train, _ = reader.splits()
    reasons = {row.speaker: row.reason for row in train.left_out}
    assert reasons["V00_S0001_I00000007_P0001/8"] == "both talk in it"
    assert reasons["V00_S0003_I00000008_P0005"] == "the partner is missing"
    assert "(261 bytes) is no video or sound" in reasons["V00_S0004_I00000009_P0006"]
    assert (
        "the picture of V00_S0006_I00000011_P0011 lasts 6.0 s, the sound 9.0 s" in reasons["V00_S0006_I00000011_P0010"]
    )
    assert len(train.left_out) == 4
    assert sorted([*train.rows, *(row.row for row in train.left_out)]) == list(range(train.num_rows))
    assert "0001.tar is" in next(iter(reader.members.damaged.values()))
    notes = dict(reader.listing.notes)
    assert notes["voice activity is theirs"] == 6
    assert notes["voice activity is ours: theirs go on until .. s, the sound ends at .. s"] == 1
    assert notes["voice activity is ours: theirs go back in time"] == 1
    assert notes["warning: participants that are in more than one split"] == 1


def test_lengths_that_can_not_be_lined_up(tmp_path: Path) -> None:
    for person, seconds, talk in (("P0001", 4, [(0, 3)]), ("P0002", 6, [])):
        open_trees.participant(tmp_path / "train", f"V00_S1_I1_{person}", seconds, Fraction(30), talk)
    with pytest.raises(UserError, match=r"P0001 lasts 4\.0 s, V00_S1_I1_P0002 6\.0 s: they can't be lined up"):
        OpenReader(tmp_path, "seamless", CUTTING).splits()
    assert len(OpenReader(tmp_path, "seamless", Cutting(4, 2, max_apart=2)).splits()[0].pieces) == 1


def test_all_forms_list_the_same(tree: Path, reader: OpenReader, tmp_path: Path) -> None:
    """The hub's tars, the same unpacked, and the bucket's folders."""
    unpacked, bucket = tmp_path / "unpacked", tmp_path / "bucket"
    for split in ("train", "dev"):
        folder = unpacked / "improvised" / split / "0000" / "0000"
        with tarfile.open(tree / "improvised" / split / "0000" / "0000.tar") as tar:
            tar.extractall(folder, filter="data")
        for path in folder.iterdir():
            base = bucket / "improvised" / split
            where = {".mp4": base / "video", ".wav": base / "audio"}.get(path.suffix)
            if where:
                where.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, where)
            elif path.suffix == ".npz":
                with np.load(path) as arrays:
                    for name, array in arrays.items():
                        place = base / name.replace(":", "/")
                        place.mkdir(parents=True, exist_ok=True)
                        np.save(place / f"{path.stem}.npy", array)
            else:
                (base / "metadata" / "vad").mkdir(parents=True, exist_ok=True)
                lines = path.read_text().partition('"metadata:vad": [')[2].rpartition("]")[0].replace("}, {", "}\n{")
                (base / "metadata" / "vad" / f"{path.stem}.jsonl").write_text(lines)
    expected = [[piece.ids for piece in split.pieces] for split in reader.splits()]
    for root in (unpacked, bucket):
        other = OpenReader(root, "seamless", CUTTING, KEEP)
        assert [[piece.ids for piece in split.pieces] for split in other.splits()] == expected
        assert sum(other.listing.notes.values()) == sum(reader.listing.notes.values())
    one, same = reader.splits()[0].pieces[0], OpenReader(bucket, "seamless", CUTTING, KEEP).splits()[0].pieces[0]
    assert isinstance(one, OpenPiece)
    assert isinstance(same, OpenPiece)
    for (feature, valid), (copy, copy_valid) in zip(one.people[0].kept, same.people[0].kept, strict=True):
        assert feature.name == copy.name
        np.testing.assert_array_equal(feature.read(), copy.read())
        assert (valid is None) == (copy_valid is None)
    one_tar = OpenReader(tree / "improvised" / "train" / "0000" / "0000.tar", "seamless", CUTTING)
    assert [piece.ids for piece in one_tar.splits()[0].pieces] == expected[0]


def test_boxes_say_where_to_look_where_they_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalid boxes are garbage, boxes of other numbers of pictures nobody's: then all of the picture is looked at."""
    count = 240
    open_trees.grey(tmp_path / "a.mp4", 8, Fraction(30))
    film = list_members(tmp_path).files["a.mp4"]
    looked = []

    def look(frame: np.ndarray) -> list:
        looked.append(frame.shape)
        return []

    monkeypatch.setattr(following, "FaceLandmarker", lambda: open_trees.Landmarker(look))
    for arrays, shape in (
        (open_trees.boxes(count, slice(0, 60)), (30, 30)),  # 8 - 5.5 to 30 + 5.5, within the picture
        (open_trees.boxes(count, slice(0, count)), (32, 32)),
        (open_trees.boxes(count - 5), (32, 32)),
        (open_trees.boxes(0), (32, 32)),
    ):
        looked.clear()
        np.savez(tmp_path / "a.npz", **arrays)
        npz = list_members(tmp_path).files["a.npz"]
        boxes = Boxes(*(Feature(name, npz, name) for name in arrays))
        with pytest.raises(UserError, match="no face is seen of Anna from 1 s on"):
            faces.measure_face("Anna", View(film, look_at(film), "", boxes), 1.0, 60, 0.9)
        assert {size[:2] for size in looked} == {shape}


def test_arrays_are_kept_under_their_names(reader: OpenReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "measure_face", open_trees.plant)
    found = reader.splits()[0].pieces[1].read()  # from 4 s on; P0001, who has movement, listens
    assert found.measured
    ours, theirs = found.tables
    assert list(ours) == ["confidence"]  # P0002's vendor gave boxes only
    assert list(theirs) == ["confidence", "theirs_movement_FAUValue", "theirs_smplh_global_orient"]
    pictures = (4 + np.arange(100) / 25) * float(open_trees.ODD)
    fau = theirs["theirs_movement_FAUValue"]
    lost = np.round(pictures) < 120
    assert np.isnan(fau[lost][:-1]).all()
    np.testing.assert_allclose(fau[~lost, 3][1:], pictures[~lost][1:], atol=0.51)
    assert [len(clip.frames) for clip in found.clips] == [100, 100]
    assert [len(clip.audio) for clip in found.clips] == [64000, 64000]
    one, other = found.clips
    np.testing.assert_array_equal(one.listener, other.speaker)
    assert one.audio.astype(float).std() > 30 * other.audio.astype(float).std()  # the talker comes first
    with pytest.raises(
        UserError, match=r"--keep movement:joy: no recording has it; there are: boxes_and_keypoints:box,"
    ):
        _ = OpenReader(reader.root, "seamless", CUTTING, ("movement:joy",)).listing


def test_near_speakers_of_the_same_prompt_and_role() -> None:
    """Two prompts, three conversations; a fourth piece of the first prompt is far from all others."""
    rng = np.random.default_rng(0)
    alike, other = rng.normal(size=(2, 40, 58)).astype(np.float32)
    near = lambda: (alike + 0.1 * rng.normal(size=alike.shape)).astype(np.float32)  # noqa: E731
    tracks = [(near(), other), (near(), near()), (near(), other), (near(), other), (near(), -other)]
    groups = ("greet", "greet", "greet", "part", "greet")
    conversations = ("a", "a", "b", "c", "d")
    rule = NearInGroups(groups, conversations, mean_degree=1.8, rule="near")
    matrix, source = rule.matrix(tracks)
    # Speakers that talk: 0, 1, 2, 4 are alike; 0 and 1 are of one conversation, 3 has another prompt.
    expected = np.eye(10, dtype=bool)
    for i, j in ((0, 2), (1, 2), (0, 4), (1, 4), (2, 4)):
        expected[[i, j], [j, i]] = True
    talk = matrix[:5, :5]
    assert not talk[0, 1]
    assert not talk[3, [0, 1, 2, 4]].any()
    assert not (matrix & ~expected)[:5, :5].any()
    # The listeners' own behaviour: pieces 0 and 2 answer in the very same way, 4 and 1 in other ways.
    assert matrix[5, 7]
    assert not matrix[:5, 5:].any()
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix.sum() == 10 + 2 * 4
    assert source.startswith("near: 1.8 a clip on average, up to a distance of ")
    everything, source = NearInGroups(groups, conversations, 100.0, "near").matrix(tracks)
    assert everything.sum() == 10 + 2 * 2 * 5
    assert NearInGroups(("a", "b"), ("1", "2"), 5.0, "near").matrix(tracks[:2])[1] == "near: 1.0 a clip on average"
    kept, _ = rule.only([0, 2, 3]).matrix([tracks[0], tracks[2], tracks[3]])
    assert kept[3, 4]
    assert len(kept) == 6


def test_nothing_of_the_form(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(
        UserError, match="has no conversation of Seamless Interaction's form that can be used: 0 are left"
    ):
        OpenReader(tmp_path, "seamless").splits()
    with pytest.raises(UserError, match=r"--mean-degree 0\.5 must be 1 or more"):
        OpenReader(tmp_path, "seamless", mean_degree=0.5)
    for person in ("P0001", "P0002"):
        open_trees.participant(tmp_path / "test", f"V00_S1_I1_{person}", 4, Fraction(30), [(0, 3)])
    with pytest.raises(UserError, match="has no piece in which one person mostly talks; give a smaller --mostly"):
        OpenReader(tmp_path, "seamless", CUTTING).splits()
    with pytest.raises(UserError, match=r"has no usable piece of the train split, .* it has test"):
        OpenReader(tmp_path, "seamless", Cutting(4, 2, mostly=0.5)).splits()
