"""Picture and sound of public recordings on one clock, files inside tars, arrays at their own rates, and voices."""

import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit import open_trees

from data_pipeline.open_data.cutting import Cut, Cutting, cut
from data_pipeline.open_data.features import Feature, entries_of, rows_at, stretch
from data_pipeline.open_data.media import levels, look_at, pictures, sound
from data_pipeline.open_data.members import Member, list_members
from data_pipeline.open_data.voice_activity import activity_of, by_loudness
from reactface_jax.errors import UserError

TEN_MINUTES = 600


def member(path: Path) -> Member:
    return Member(str(path), path.name, 0, path.stat().st_size, inside=False)


@pytest.mark.parametrize("rate", [open_trees.ODD, open_trees.NTSC, Fraction(30)], ids=str)
@pytest.mark.parametrize("moment", [1, TEN_MINUTES - 2])
def test_picture_and_sound_stay_together_over_ten_minutes(tmp_path: Path, rate: Fraction, moment: int) -> None:
    """A flash and a click at one moment lie within 20 ms of each other in the result.

    Of ten minutes only the pictures about both moments are in the file, each at its own time.
    """
    flash = round(moment * rate)  # shown for three pictures
    near = [k for m in (1, TEN_MINUTES - 2) for k in range(round(m * rate) - 30, round(m * rate) + 60)]
    video = open_trees.film(tmp_path / "a.mp4", near, rate, lambda k: 255 if flash <= k < flash + 3 else 0)
    click = float(flash / rate)
    wav = open_trees.click(tmp_path / "a.wav", TEN_MINUTES, click)
    # The file's clock begins with its first picture.
    zero = float(near[0] / rate)
    start = moment - 0.5
    seen = [picture.rgb.mean() for picture in pictures(member(video), start - zero, 25)]
    heard = np.abs(sound(member(wav), start, 16000))
    assert len(seen) == 25
    first_light, first_noise = np.flatnonzero(np.array(seen) > 128)[0], np.flatnonzero(heard > 0.1)[0]
    assert abs(first_light / 25 - first_noise / 16000) <= 0.02 + 1e-6


def test_arithmetic_of_a_rounded_rate() -> None:
    """What taking 30 for granted would do, and what the nearest one does, over all frames of ten minutes."""
    frames = np.arange(TEN_MINUTES * 25)
    for rate, drift in ((open_trees.ODD, 0.4), (open_trees.NTSC, 0.59)):
        taken_for_granted = np.round(frames / 25 * 30) / float(rate)
        assert np.abs(taken_for_granted - frames / 25).max() > drift
        nearest = rows_at(round(TEN_MINUTES * rate), TEN_MINUTES, 0, len(frames)) / float(rate)
        assert np.abs(nearest - frames / 25).max() < 0.02


@pytest.mark.parametrize("rate", [open_trees.ODD, open_trees.NTSC], ids=str)
def test_the_rate_is_measured(tmp_path: Path, rate: Fraction) -> None:
    film = look_at(member(open_trees.grey(tmp_path / "a.mp4", 8, rate)))
    assert film.num_pictures == round(8 * rate)
    assert abs(film.rate - rate) < Fraction(1, 1000)
    assert len(list(pictures(member(tmp_path / "a.mp4"), 0, 1000))) == 201  # 8.005 and 8.008 s
    assert [picture.time for picture in pictures(member(tmp_path / "a.mp4"), 4, 3)] == pytest.approx(
        [4, 4.04, 4.08], abs=0.02
    )


def test_a_video_without_an_index_is_measured_too(tmp_path: Path) -> None:
    film = look_at(member(open_trees.film(tmp_path / "a.mkv", range(60), open_trees.NTSC, lambda k: k)))
    assert film.num_pictures == 60
    assert float(film.rate) == pytest.approx(float(open_trees.NTSC), rel=1e-2)


def test_a_clock_that_may_jump_is_refused(tmp_path: Path) -> None:
    """A transport stream, whatever its name."""
    stream = open_trees.film(tmp_path / "a.ts", range(10), Fraction(25), lambda k: k)
    with pytest.raises(UserError, match=r"b\.mp4 is a recorded broadcast or stream, whose clock may jump; convert it"):
        look_at(member(stream.rename(tmp_path / "b.mp4")))


def test_members_of_tars_are_read_in_place(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    open_trees.grey(made / "a.mp4", 1, Fraction(30))
    open_trees.voice(made / "a.wav", 1, [(0.2, 0.8)])
    np.savez(made / "a.npz", box=np.ones((3, 4)))
    open_trees.pack(made, tmp_path / "raw" / "train" / "0000.tar")
    found = list_members(tmp_path / "raw")
    assert list(found.files) == ["train/0000/a.mp4", "train/0000/a.npz", "train/0000/a.wav"]
    for name, member_of_tar in found.files.items():
        assert member_of_tar.inside
        assert member_of_tar.read() == (made / Path(name).name).read_bytes()
    assert look_at(found.files["train/0000/a.mp4"]).num_pictures == 30
    assert len(list(pictures(found.files["train/0000/a.mp4"], 0.5, 100))) == 13
    npz = found.files["train/0000/a.npz"]
    assert entries_of(npz) == ["box"]
    assert Feature("box", npz, "box").read().shape == (3, 4)
    one_tar = list_members(tmp_path / "raw" / "train" / "0000.tar")
    assert list(one_tar.files) == ["a.mp4", "a.npz", "a.wav"]
    with pytest.raises(UserError, match=r"a\.wav in .*0000\.tar has no video track"):
        look_at(found.files["train/0000/a.wav"])
    with pytest.raises(UserError, match=r"a\.mp4 in .*0000\.tar has no sound track"):
        levels(found.files["train/0000/a.mp4"])
    with pytest.raises(UserError, match=r"a\.wav in .* has 1 channel\(s\) of sound, not one a person"):
        levels(found.files["train/0000/a.wav"], channel=1)
    with pytest.raises(UserError, match=r"a\.npz in .* has no keypoints"):
        Feature("keypoints", npz, "keypoints").read()
    with pytest.raises(UserError, match=r"a\.wav in .* is no \.npz file"):
        Feature("box", found.files["train/0000/a.wav"], "box").read()


def test_tars_that_are_not_whole(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.txt").write_text("a" * 600)
    (tmp_path / "made" / "b.txt").write_text("b" * 600)
    open_trees.pack(tmp_path / "made", tmp_path / "raw" / "a.tar")
    content = (tmp_path / "raw" / "a.tar").read_bytes()
    (tmp_path / "raw" / "a.tar").write_bytes(content[:4200])  # within b.txt
    (tmp_path / "raw" / "text.tar").write_text("404: not found")
    with tarfile.open(tmp_path / "raw" / "b.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "made" / "a.txt")
    found = list_members(tmp_path / "raw")
    assert list(found.files) == ["a/a.txt"]
    reasons = " ".join(found.damaged.values())
    assert "a.tar is cut off within b.txt" in reasons
    assert "text.tar is no whole tar" in reasons
    assert "b.tar.gz is compressed" in reasons
    with pytest.raises(UserError, match="does not exist"):
        list_members(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no file that can be read: .*text\.tar"):
        list_members(tmp_path / "raw" / "text.tar")


def test_arrays_have_rates_of_their_own(tmp_path: Path) -> None:
    """FAUs at a picture's rate and SMPL-H at eight times that come to the same moments; blocks not valid are NaN."""
    count = 240
    np.savez(tmp_path / "a.npz", **open_trees.movement(count))
    npz = member(tmp_path / "a.npz")
    named = {name: Feature(name, npz, name) for name in entries_of(npz)}
    fau = stretch(named["movement:FAUValue"], named["movement:is_valid"], 8.0, 1.0, 100)
    assert fau is not None
    moments = 30 * (1 + np.arange(100) / 25)
    lost = (np.round(moments) >= 60) & (np.round(moments) < 120)
    assert np.isnan(fau[lost]).all()
    np.testing.assert_allclose(fau[~lost, 0], moments[~lost], atol=0.51)
    body = stretch(named["smplh:global_orient"], None, 8.0, 1.0, 100)
    assert body is not None
    np.testing.assert_allclose(body[:, 0], moments, atol=0.07)
    np.save(tmp_path / "empty.npy", np.zeros((0, 4), np.float32))
    assert stretch(Feature("empty", member(tmp_path / "empty.npy")), None, 8.0, 0, 5) is None


def test_voice_activity_is_theirs_where_it_can_be() -> None:
    level = np.full(250, 0.001, np.float32)
    level[50:100] = 0.2
    assert np.flatnonzero(by_loudness(level)).tolist() == list(range(50, 100))
    theirs = activity_of([(2.2, 3.8)], level)
    assert theirs.source == "theirs"
    assert np.flatnonzero(theirs.speaks).tolist() == list(range(55, 95))
    for stretches, why in (
        (None, "the data have none"),
        ([(3.0, 2.0)], "go back in time"),
        ([(2.0, 30.0)], "go on until 30.0 s, the sound ends at 10.0 s"),
        ([(6.0, 9.0)], "not when the sound is loud"),
        ([], "say nothing, but there is sound"),
    ):
        ours = activity_of(stretches, level)
        assert why in ours.source
        np.testing.assert_array_equal(ours.speaks, by_loudness(level))
    assert activity_of([], np.zeros(250, np.float32)).source == "theirs"


def test_pieces_in_which_one_mostly_talks() -> None:
    cutting = Cutting(piece_seconds=4, min_seconds=2)
    one, other = np.zeros(350, bool), np.zeros(350, bool)
    one[:60] = other[100:180] = one[110:120] = one[200:260] = other[230:300] = True
    assert cut(350, (one, other), cutting) == [
        Cut(0, 100, 0),
        Cut(100, 100, 1),
        Cut(200, 100, 1, "both talk in it"),
        Cut(300, 50, 0, "nobody talks in it"),
    ]
    assert cut(340, None, cutting) == [Cut(0, 100, 0), Cut(100, 100, 0), Cut(200, 100, 0)]  # 40 are too few
    with pytest.raises(UserError, match="--min-seconds 9 must be above 0 and at most --piece-seconds 4"):
        Cutting(piece_seconds=4, min_seconds=9)
    with pytest.raises(UserError, match=r"--mostly 0\.4 must be between 0\.5 and 1"):
        Cutting(mostly=0.4)
    with pytest.raises(UserError, match="--max-apart -1 must be 0 or more"):
        Cutting(max_apart=-1)
