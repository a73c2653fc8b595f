"""MARS, ViCo, RealTalk, ResponseNet and DualTalk: what each form's reader lists, leaves out, and reads."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit import open_trees

from data_pipeline import prepare
from data_pipeline.open_data import faces, following
from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.media import look_at
from data_pipeline.open_data.members import list_members
from data_pipeline.open_data.open_reader import OpenReader
from data_pipeline.raw_tree.reader import NotUsable
from reactface_jax.errors import UserError
from reactface_jax.extraction.people import Measured

CUTTING = Cutting(piece_seconds=2, min_seconds=1)


def test_mars(tmp_path: Path) -> None:
    """Clips of two sessions; their own coefficients at the pictures' rate; a clip without its listener, one of 57."""
    rng = np.random.default_rng(0)
    tracks = {}
    clips = [("session0", "Camera-1"), ("session0", "Camera-2"), ("session7", "Camera-1")]
    for session, name in [*clips, ("session7", "Camera-2"), ("session7", "Camera-3")]:
        for role in ("speaker", "listener"):
            if (session, name, role) == ("session7", "Camera-2", "listener"):
                continue
            base = {
                kind: tmp_path / "train" / kind / role / session
                for kind in ("coefficients", "facial-attributes", "audio", "video-face-crop")
            }
            for folder in base.values():
                folder.mkdir(parents=True, exist_ok=True)
            columns = 57 if name == "Camera-3" else 58
            track = rng.normal(size=(90, 1, columns)).astype(np.float32)  # at 30 a second
            tracks[session, name, role] = track[:, 0]
            np.save(base["coefficients"] / f"{name}.npy", track)
            np.save(base["facial-attributes"] / f"{name}.npy", np.full((90, 25), 0.5))
            open_trees.grey(base["video-face-crop"] / f"{name}.mp4", 3, Fraction(30))
            if role == "speaker":
                open_trees.voice(base["audio"] / f"{name}.wav", 3, [(0, 2)], rate=16000)
    reader = OpenReader(tmp_path, "mars", CUTTING)
    (train,) = reader.splits()
    assert [piece.ids for piece in train.pieces][:3] == [
        ("session0/Camera-1/speaker/0", "session0/Camera-1/listener/0"),
        ("session0/Camera-1/speaker/2", "session0/Camera-1/listener/2"),
        ("session0/Camera-2/speaker/0", "session0/Camera-2/listener/0"),
    ]
    (row,) = train.left_out
    assert row.reason == "the listener has no coefficients and no video-face-crop"
    found = train.pieces[1].read()
    times = np.round((2 + np.arange(25) / 25) * 30).astype(int)
    np.testing.assert_array_equal(found.clips[0].speaker, tracks["session0", "Camera-1", "speaker"][times])
    np.testing.assert_array_equal(found.clips[1].speaker, tracks["session0", "Camera-1", "listener"][times])
    assert found.clips[0].speaker_attributes.shape == (25, 25)
    assert found.clips[0].audio.shape == found.clips[1].audio.shape == (16000,)
    assert not found.clips[1].audio.any()  # nothing is heard of the listener
    assert found.clips[0].size == (256, 256)
    assert found.tables == ({}, {})
    with pytest.raises(UserError, match=r"Camera-3\.npy has 57 columns, not 58"):
        train.pieces[-1].read()
    matrix, rule = reader.appropriate(train).only([0, 1, 2, 3, 4]).matrix([])
    assert rule == "all listeners of a session, at the same moment of it"
    groups = np.array([0, 1, 0, 1, 2, 3, 4, 3, 4, 5])
    np.testing.assert_array_equal(matrix, groups[:, None] == groups[None])
    assert reader.coefficient_names()[0] == "expression_00"
    with pytest.raises(UserError, match="--keep x: MARS's coefficients and attributes are in the examples"):
        OpenReader(tmp_path, "mars", keep=("x",)).splits()


def test_vico(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "measure_face", open_trees.plant)
    (tmp_path / "videos").mkdir()
    for name in ("l1", "s1", "l2"):
        open_trees.grey(tmp_path / "videos" / f"{name}.mp4", 2, Fraction(30))
    for name in ("a1", "a2"):
        open_trees.voice(tmp_path / f"{name}.wav", 2, [(0, 1)], rate=16000)
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    header = "attitude,audio,listener,speaker,listener_id,speaker_id,data_split\n"
    rows = "positive,a1,l1,s1,1,2,train\npositive,a2,l2,s2,1,2,valid\n"
    (tmp_path / "RLD_data.csv").write_text(header + rows)
    reader = OpenReader(tmp_path, "vico", CUTTING)
    (train,) = reader.splits()
    assert [piece.ids for piece in train.pieces] == [("a1/s1/0", "a1/l1/0")]
    assert [(row.split, row.reason) for row in reader.listing.refused] == [("val", "there is no file of the speaker")]
    one, other = train.pieces[0].read().clips
    assert one.audio.any()
    assert not other.audio.any()
    matrix, rule = reader.appropriate(train).matrix([])
    assert rule == "paired: each clip's own listener only"
    np.testing.assert_array_equal(matrix, np.eye(2, dtype=bool))
    (tmp_path / "RLD_data.csv").unlink()
    with pytest.raises(UserError, match="has no csv with the columns audio, listener, speaker"):
        OpenReader(tmp_path, "vico", CUTTING).splits()
    with pytest.raises(UserError, match="--keep x: ViCo has no arrays"):
        OpenReader(tmp_path, "vico", keep=("x",)).splits()


def test_realtalk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people in one avi of a tar, the left one first, with a sound apart."""
    monkeypatch.setattr(faces, "measure_face", open_trees.plant)
    (tmp_path / "made").mkdir()
    for number in range(4):  # of which the checksum makes three splits
        path = tmp_path / "made" / f"video{number}.avi"
        open_trees.film(path, range(50), Fraction(25), lambda k: k, codec="mpeg4")
    (tmp_path / "made" / "broken.avi").write_text("404: not found")
    open_trees.pack(tmp_path / "made", tmp_path / "raw" / "videos.tar")
    (tmp_path / "raw" / "audio").mkdir()
    for number in range(4):
        open_trees.voice(tmp_path / "raw" / "audio" / f"video{number}.wav", 2, [(0, 1)], rate=16000)
    reader = OpenReader(tmp_path / "raw", "realtalk", CUTTING)
    pieces = [piece for split in reader.splits() for piece in split.pieces]
    assert sorted(piece.ids for piece in pieces) == [(f"video{n}/p0/0", f"video{n}/p1/0") for n in range(4)]
    assert [row.reason.partition(" in ")[0] for row in reader.listing.refused] == ["broken.avi"]
    piece = reader.splits()[0].pieces[0]
    assert [side.view.half for side in piece.people] == ["left", "right"]
    one, other = piece.read().clips
    np.testing.assert_array_equal(one.audio, other.audio)
    assert "who speaks is not known: both have the whole sound" in reader.form()["notes"]
    with pytest.raises(UserError, match="--keep x: RealTalk's features are not read"):
        OpenReader(tmp_path / "raw", "realtalk", keep=("x",)).splits()


def test_responsenet(tmp_path: Path) -> None:
    """Two videos and a channel a person; both in one video; a partner that is missing; a sound of one channel."""
    train = tmp_path / "train"
    train.mkdir()
    for name in ("a_speaker", "a_listener", "b", "c_0", "d_0", "d_1"):
        open_trees.grey(train / f"{name}.mp4", 2, Fraction(25))
    for name in ("a", "b"):
        open_trees.voice(train / f"{name}.wav", 2, [], [(0.2, 1.8)])
    open_trees.voice(train / "d.wav", 2, [(0.2, 1.8)])
    reader = OpenReader(tmp_path, "responsenet", CUTTING)
    (split,) = reader.splits()
    assert [piece.ids for piece in split.pieces] == [("a/1/0", "a/0/0"), ("b/1/0", "b/0/0")]  # channel 1 talks
    sides = [side for piece in split.pieces for side in piece.people]
    assert [side.view.half for side in sides] == ["", "", "right", "left"]
    assert [side.voice.channel for side in sides] == [1, 0, 1, 0]
    assert Path(sides[1].view.video.path).name == "a_speaker.mp4"
    assert [row.speaker for row in split.left_out] == ["c", "d"]
    assert split.left_out[0].reason == "the partner is missing"
    assert "d.wav has 1 channel(s) of sound, not one a person" in split.left_out[1].reason
    with pytest.raises(UserError, match="--keep x: ResponseNet's words are not read"):
        OpenReader(tmp_path, "responsenet", keep=("x",)).splits()


def test_dualtalk(tmp_path: Path) -> None:
    """FLAME's numbers only where they are asked for, and under FLAME's names."""
    for split, name in (("train", "x_000"), ("ood", "y_000"), ("train", "z_000")):
        open_trees.dualtalk_pair(tmp_path / split, name, [(0, 1.9)], pose=name != "z_000")
    with pytest.raises(
        UserError, match="DualTalk has no pictures to measure the 58 coefficients in; give --keep flame"
    ):
        OpenReader(tmp_path, "dualtalk", CUTTING).splits()
    reader = OpenReader(tmp_path, "dualtalk", CUTTING, ("flame", "exp"))
    train, ood = reader.splits()
    assert (train.name, ood.name) == ("train", "ood")
    assert [piece.ids for piece in train.pieces] == [("x_000/speaker2/0", "x_000/speaker1/0")]
    assert "has no pose" in train.left_out[0].reason
    found = train.pieces[0].read()
    (clip, _), (kept, _) = found.clips, found.tables
    assert clip.frames == []
    assert clip.size == (0, 0)
    np.testing.assert_allclose(clip.speaker[3, :49], np.arange(150, 199) / 1e3, rtol=1e-6)
    assert clip.speaker[3, 49:].tolist() == [3, 4, 5, 0, 1, 2, 0, 0, 0]  # the jaw, the neck, what is not used
    assert kept["theirs_exp"].shape == (50, 50)
    names = reader.coefficient_names()
    assert (names[0], names[49], names[52], names[57]) == (
        "flame_expression_00",
        "flame_jaw_x",
        "flame_neck_x",
        "unused_2",
    )
    assert len(set(names)) == 58
    assert reader.form()["coefficients"] == "the data set's own"


def test_kept_arrays_that_would_be_one_file(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--keep a:b_c a_b:c: both would be theirs_a_b_c_<split>\.npy; keep one of them"
    ):
        OpenReader(tmp_path, "seamless", keep=("a:b_c", "x", "a:b_c", "a_b:c"))


def test_faces_that_are_lost(tmp_path: Path) -> None:
    """Held from the nearest frame with confidence 0; less between measured frames the further they are away."""
    seen = np.zeros(40, bool)
    seen[[0, 4, 39]] = True
    usable = np.zeros(40, bool)
    usable[[0, 1, 2, 3, 4, 39]] = True
    values = np.tile(np.arange(40, dtype=np.float32)[:, None], (1, 58))
    measured = Measured(np.zeros((40, 3)), values, usable, seen, {})
    held = faces.held(measured)[:, 0]
    assert held[[0, 3, 4, 10, 21, 22, 38]].tolist() == [0, 3, 4, 4, 4, 39, 39]
    confidence = faces.confidence_of(measured)
    np.testing.assert_allclose(confidence[:6], [1, 12 / 13, 11 / 13, 12 / 13, 1, 0], rtol=1e-6)
    assert confidence[39] == 1


def test_a_face_that_is_seen_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_trees.grey(tmp_path / "a.mp4", 2, Fraction(25))
    reader = faces.View(*_member_and_film(tmp_path / "a.mp4"))
    monkeypatch.setattr(following, "FaceLandmarker", lambda: open_trees.Landmarker(lambda _: [[4, 4, 20, 20]]))

    def lost(crops):
        usable = np.arange(len(list(crops))) < 20
        return Measured(np.zeros((len(usable), 3)), np.zeros((len(usable), 58), np.float32), usable, usable, {})

    monkeypatch.setattr(faces, "measure_crops", lost)
    with pytest.raises(NotUsable, match=r"Ben from 0 s on is seen in 40% of the frames, less than --min-seen 0\.9"):
        faces.measure_face("Ben", reader, 0, 50, 0.9)
    face = faces.measure_face("Ben", reader, 0, 50, 0.4)
    assert len(face.frames) == len(face.coefficients) == 50
    assert face.confidence.tolist() == [1] * 20 + [0] * 30


def _member_and_film(path: Path):
    (member,) = list_members(path.parent).files.values()
    return member, look_at(member)


def test_check_of_a_form(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for person, talk in (("P1", [(0, 11)]), ("P2", []), ("P3", [])):
        session = "S2" if person == "P3" else "S1"
        open_trees.participant(tmp_path / "raw" / "train", f"V0_{session}_I1_{person}", 11, Fraction(30), talk)
    prepare.main(["check", "--raw", "raw", "--form", "seamless"])
    printed = capsys.readouterr().out
    assert "train: 1 left out, because the partner is missing" in printed
    assert "left_out.csv: one row left out, and why" in printed
    assert (tmp_path / "left_out.csv").read_text().splitlines()[
        1
    ] == "train,1,V0_S2_I1_P3,,missing,the partner is missing"
    for words, message in (
        (["seamless", "--raw", "gs://bucket/raw", "--out", "x"], "is in a bucket"),
        (["seamless", "--raw", "raw", "--out", "x", "--max-bad", "-1"], "--max-bad -1 is negative"),
    ):
        with pytest.raises(SystemExit) as stop:
            prepare.main(words)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
