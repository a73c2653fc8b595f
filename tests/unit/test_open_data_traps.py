"""What would go wrong without a word in public data: files of other recordings, of other lengths, of other splits."""

import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit import open_trees

from data_pipeline import prepare
from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.members import list_members
from data_pipeline.open_data.open_reader import OpenReader
from reactface_jax.errors import UserError

CUTTING = Cutting(piece_seconds=2, min_seconds=1)
FIRST, SECOND = ([(0.2, 1.8)], []), ([], [(0.2, 1.8)])
"""Which of two channels talks."""


def write(root: Path, *names: str, talks: tuple[open_trees.Talk, ...] = SECOND) -> None:
    """Videos and sounds of two seconds."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".wav":
            open_trees.voice(path, 2, *talks, rate=16000)
        else:
            open_trees.film(path, range(50), Fraction(25), lambda k: k, codec="mpeg4")


def pieces_of(reader: OpenReader) -> dict[str, list[tuple[str, str]]]:
    return {split.name: [piece.ids for piece in split.pieces] for split in reader.splits()}


def sounds_of(reader: OpenReader) -> list[str]:
    """Of each conversation."""
    found = [{side.voice.file.name for side in one.people if side.voice} for one in reader.listing.conversations]
    return [name for (name,) in found]


def reasons_of(reader: OpenReader) -> dict[str, str]:
    return {row.speaker: row.reason for row in reader.listing.refused}


# ---- Which files go together -----------------------------------------------------------------------------------------


def test_pairs_of_the_same_name_in_several_splits(tmp_path: Path) -> None:
    """Each has its own sound, and so its own talker."""
    for split, talks in (("train", SECOND), ("val", FIRST), ("test", SECOND)):
        write(tmp_path / split, "0001_left.mp4", "0001_right.mp4", "0001.wav", talks=talks)
    reader = OpenReader(tmp_path, "responsenet", CUTTING)
    left_first, right_first = ("0001/0/0", "0001/1/0"), ("0001/1/0", "0001/0/0")
    assert pieces_of(reader) == {"train": [right_first], "val": [left_first], "test": [right_first]}
    assert sorted(sounds_of(reader)) == ["test/0001.wav", "train/0001.wav", "val/0001.wav"]


def test_numbered_videos_of_both_people(tmp_path: Path) -> None:
    """Each with a sound of its whole name; beside them a sound of what both begin with, and sides that are numbered."""
    write(tmp_path / "train", "talk_1.mp4", "talk_1.wav", "talk_2.mp4", "talk_2.wav", "talk.wav")
    write(tmp_path / "train", "pair_1.mp4", "pair_2.mp4", "pair.wav", "pair_left.wav")
    reader = OpenReader(tmp_path, "responsenet", CUTTING)
    assert pieces_of(reader)["train"] == [
        ("pair/1/0", "pair/0/0"),
        ("talk_1/1/0", "talk_1/0/0"),
        ("talk_2/1/0", "talk_2/0/0"),
    ]
    assert sounds_of(reader) == ["train/pair.wav", "train/talk_1.wav", "train/talk_2.wav"]


def test_pairs_of_the_same_name_in_several_folders_of_a_split(tmp_path: Path) -> None:
    for folder in ("train/s1", "train/s2"):
        write(tmp_path / folder, "0001_left.mp4", "0001_right.mp4")
    write(tmp_path, "train/s1/0001.wav", "train/sounds/0002.wav", "train/l/0002_left.mp4", "train/r/0002_right.mp4")
    write(tmp_path, "train/l/0003_left.mp4", "train/l/0003_left.avi", "train/r/0003_right.mp4", "train/0003.wav")
    write(tmp_path, "train/0004.mp4", "val/0004.wav", "train/0005_a.mp4", "train/0005_b.mp4", "val/0005.wav")
    write(tmp_path, "train/0006.mp4", "val/0006.mp4", "sounds/0006.wav", "train/0007.mp4", "sounds/0007.wav")
    reader = OpenReader(tmp_path, "responsenet", CUTTING)
    assert sounds_of(reader) == ["sounds/0007.wav", "train/sounds/0002.wav", "train/s1/0001.wav"][::-1]
    assert [one.name for one in reader.listing.conversations] == ["train/s1/0001", "0002", "0007"]
    reasons = reasons_of(reader)
    assert reasons["train/s2/0001"].endswith(
        "s1/0001.wav could be of several recordings called 0001; put one beside each one's video"
    )
    assert "0003_left.avi and " in reasons["0003"]
    assert "0003_left.mp4 have the same name; leave one of them" in reasons["0003"]
    assert "0004.mp4 has no sound track" in reasons["0004"]  # another split's sound is nobody's here
    assert reasons["0005"] == "there is no 0005.wav"
    assert "sounds/0006.wav could be of several recordings called 0006" in reasons["0006"]


def test_names_that_are_there_twice_in_other_forms(tmp_path: Path) -> None:
    write(tmp_path / "realtalk", "one/a.avi", "one/a.wav", "two/a.avi", "two/a.wav", talks=([(0, 1)],))
    reader = OpenReader(tmp_path / "realtalk", "realtalk", CUTTING)
    assert sounds_of(reader) == ["one/a.wav"]
    assert "one/a.avi has the same name as " in reasons_of(reader)["a/p0"]
    write(tmp_path / "vico", "l.mp4", "s.mp4", "a.wav", "b.wav", "more/b.wav", talks=([(0, 1)],))
    (tmp_path / "vico" / "list.csv").write_text("audio,listener,speaker,data_split\na,l,s,train\nb,l,s,train\n")
    reader = OpenReader(tmp_path / "vico", "vico", CUTTING)
    assert sounds_of(reader) == ["a.wav"]
    assert "b.wav and " in reasons_of(reader)["b/s"]
    for folder, name in (("x", "a"), ("x", "b"), ("y", "b")):
        open_trees.dualtalk_pair(tmp_path / "dualtalk" / "train" / folder, name, [(0, 1.9)])
    reader = OpenReader(tmp_path / "dualtalk", "dualtalk", CUTTING, ("flame",))
    assert [one.name for one in reader.listing.conversations] == ["a"]
    assert "x/b_speaker1.wav and " in reasons_of(reader)["b/speaker1"]


# ---- Splits ----------------------------------------------------------------------------------------------------------


def test_what_the_owners_held_out_stays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ood` is a split of its own, no name is the checksum's, and one that nobody knows is left out and counted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("data_pipeline.open_data.command.Cutting", lambda: CUTTING)
    owners = {"a0": "train", "a1": "OOD", "a2": "dev", "a7": "", "a4": "holdout"}  # a7's checksum is 9 modulo 10
    write(tmp_path / "raw", "l.mp4", "s.mp4", *(f"{name}.wav" for name in owners), talks=([(0, 1)],))
    rows = [f"{name},l,s,{split}\n" for name, split in owners.items()]
    (tmp_path / "raw" / "list.csv").write_text("audio,listener,speaker,data_split\n" + "".join(rows))
    reader = OpenReader(tmp_path / "raw", "vico", CUTTING)
    found = {one.people[0].id: one.split for one in reader.listing.conversations}
    assert found == {"a0/s": "train", "a1/s": "ood", "a2/s": "val", "a7/s": "test"}
    assert reasons_of(reader)["a4/s"].startswith("its data_split is holdout; give train, val, test, ood, ")
    assert "holdout" not in pieces_of(reader)
    prepare.main(["check", "--raw", "raw", "--form", "vico"])
    assert "holdout: 1 left out, because its data_split is holdout" in capsys.readouterr().out
    assert "holdout,0,a4/s,a4/l,missing," in (tmp_path / "left_out.csv").read_text()


# ---- Lengths ---------------------------------------------------------------------------------------------------------


def mars(root: Path, clip: str, rows: int, attributes: int = 100, rate: int = 25, pictures: bool = True) -> None:
    """Four seconds, whose listener has other numbers of rows."""
    for role in ("speaker", "listener"):
        place = {}
        for kind in ("coefficients", "facial-attributes", "audio", "video-face-crop"):
            place[kind] = root / "train" / kind / role / "session0" / clip
            place[kind].parent.mkdir(parents=True, exist_ok=True)
        mine = role == "listener"
        coefficients = np.tile(np.arange(rows if mine else 4 * rate, dtype=np.float32)[:, None], (1, 58))
        np.save(f"{place['coefficients']}.npy", coefficients)
        np.save(f"{place['facial-attributes']}.npy", np.zeros((attributes if mine else 4 * rate, 25)))
        open_trees.voice(Path(f"{place['audio']}.wav"), 4, [(0, 2)], rate=16000)
        if pictures:
            open_trees.grey(Path(f"{place['video-face-crop']}.mp4"), 4, Fraction(rate))


@pytest.mark.parametrize("pictures", [True, False])
def test_arrays_of_another_length_than_the_recording(tmp_path: Path, pictures: bool) -> None:
    """Half of the rows would be played at half speed, by the pictures' length or by the sound's."""
    cutting = Cutting(piece_seconds=4, min_seconds=1)
    mars(tmp_path, "cut-off", 50, pictures=pictures)
    mars(tmp_path, "attributes", 100, attributes=40, pictures=pictures)
    mars(tmp_path, "almost", 90, pictures=pictures)  # 0.4 s are within --max-apart
    if pictures:
        mars(tmp_path, "fast", 120, attributes=120, rate=30)
    reader = OpenReader(tmp_path, "mars", cutting)
    kept = [one.name.rpartition("/")[2] for one in reader.listing.conversations]
    assert kept == (["almost", "fast"] if pictures else ["almost"])
    reasons = {name.split("/")[1]: reason for name, reason in reasons_of(reader).items()}
    if pictures:
        assert "cut-off.npy has 50 rows, but the picture of session0/cut-off/listener lasts 4.0 s" in reasons["cut-off"]
    else:
        assert "the face of session0/cut-off/listener lasts 2.0 s, the sound 4.0 s" in reasons["cut-off"]
    assert "facial-attributes of " in reasons["attributes"]
    assert "attributes.npy has 40 rows, but the " in reasons["attributes"]


def test_flames_poses_of_another_length_than_its_expressions(tmp_path: Path) -> None:
    for name in ("a", "b"):
        open_trees.dualtalk_pair(tmp_path / "train", name, [(0, 1.9)])
    np.savez(tmp_path / "train" / "b_speaker1.npz", exp=np.zeros((50, 50)), pose=np.zeros((20, 6)))
    reader = OpenReader(tmp_path, "dualtalk", CUTTING, ("flame",))
    assert [one.name for one in reader.listing.conversations] == ["a"]
    reason = reasons_of(reader)["b/speaker1"]
    assert reason.startswith("pose of ")
    assert "b_speaker1.npz has 20 rows, but the face of b/speaker1 lasts 2.0 s: their times can't be right" in reason


def test_an_array_that_is_one_number(tmp_path: Path) -> None:
    for clip in ("a", "b"):
        mars(tmp_path, clip, 100, pictures=False)
    np.save(tmp_path / "train" / "coefficients" / "listener" / "session0" / "b.npy", np.float32(3))
    reader = OpenReader(tmp_path, "mars", CUTTING)
    assert [one.name for one in reader.listing.conversations] == ["session0/a"]
    assert "b.npy is one number, not a row a moment; download it again" in reasons_of(reader)["session0/b/speaker"]
    open_trees.dualtalk_pair(tmp_path / "dualtalk" / "train", "c", [(0, 1.9)])
    arrays = dict(np.load(tmp_path / "dualtalk" / "train" / "c_speaker1.npz"))
    np.savez(tmp_path / "dualtalk" / "train" / "c_speaker1.npz", **arrays, fps=np.float32(25))
    ((piece,),) = [split.pieces for split in OpenReader(tmp_path, "dualtalk", CUTTING, ("flame", "fps")).splits()]
    with pytest.raises(UserError, match=r"fps of .*c_speaker1\.npz is one number, not a row a moment"):
        piece.read()


# ---- Files that are none of the data ---------------------------------------------------------------------------------


def test_what_macos_puts_beside_files(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("interactions.csv", "._interactions.csv", "._a.tar", "b.txt"):
        (tmp_path / "raw" / name).write_bytes(b"\x00\x05\x16\x07")
    open_trees.pack(tmp_path / "raw", tmp_path / "raw" / "all.tar")
    found = list_members(tmp_path / "raw")
    assert sorted(found.files) == ["all/b.txt", "all/interactions.csv", "b.txt", "interactions.csv"]
    assert not found.damaged


def test_other_csvs_beside_vicos(tmp_path: Path) -> None:
    """One in another encoding is none of ViCo's, unless its header is; one that lists the clips again adds nothing."""
    write(tmp_path, "l.mp4", "s.mp4", "a.wav", "b.wav", talks=([(0, 1)],))
    table = "audio,listener,speaker,data_split\na,l,s,train\nb,l,s,val\n"
    (tmp_path / "notes.csv").write_bytes("Größe,x\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"notes\.csv is no text in UTF-8 .*; save it as csv in UTF-8"):
        OpenReader(tmp_path, "vico", CUTTING).splits()
    (tmp_path / "RLD_data.csv").write_text(table)
    assert list(pieces_of(OpenReader(tmp_path, "vico", CUTTING))) == ["train", "val"]
    (tmp_path / "copy of RLD_data.csv").write_text(table.replace("a,l,s", "A,L,S"))
    reader = OpenReader(tmp_path, "vico", CUTTING)
    assert len(reader.listing.conversations) == 2
    assert {row.reason for row in reader.listing.refused} == {f"{tmp_path / 'copy of RLD_data.csv'} lists it again"}
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "more.csv").write_bytes((table + "größe,l,s,train\n").encode(encoding))
        with pytest.raises(UserError, match=r"more\.csv is no text in UTF-8"):
            OpenReader(tmp_path, "vico", CUTTING).splits()


# ---- Folders that are linked -----------------------------------------------------------------------------------------


def test_linked_folders_are_listed_once(tmp_path: Path) -> None:
    """By their own names where they have one in the tree; links that lead back end."""
    raw, disk = tmp_path / "raw", tmp_path / "disk"
    for path in (raw / "improvised" / "x.mp4", disk / "train" / "y.mp4", disk / "train" / "deep" / "z.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (raw / "naturalistic").symlink_to(disk)
    (raw / "again").symlink_to(raw / "improvised")
    (raw / "improvised" / "up").symlink_to(raw)
    (raw / "beside").symlink_to(tmp_path)  # what lies beside the data is none of them
    (disk / "train" / "deep" / "loop").symlink_to(disk)
    (raw / "nowhere").symlink_to(raw / "nothing")
    (raw / "itself").symlink_to(raw / "itself")
    expected = ["improvised/x.mp4", "naturalistic/train/deep/z.mp4", "naturalistic/train/y.mp4"]
    assert list(list_members(raw).files) == expected
    (tmp_path / "link").symlink_to(raw)
    assert list(list_members(tmp_path / "link").files) == expected


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "closed").mkdir()
    read = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:  # root, who may run the tests, may read every folder
        if folder.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "closed can't be read (Permission denied)" in next(iter(list_members(tmp_path).damaged.values()))
