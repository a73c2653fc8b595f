"""Public data from tars to a batch: shards, labels, verify, loader; killed in between; and a real clip's faces."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit import open_trees

from data_pipeline import prepare
from data_pipeline.loader import open_shards  # TensorFlow has to come before whatever draws
from data_pipeline.open_data import faces
from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.listing import split_by_name
from data_pipeline.open_data.open_reader import OpenReader
from data_pipeline.shards.write import write_shards
from reactface_jax.extraction.people import choose_two, find_people, measure
from reactface_jax.media.video import VideoWriter, iterate_video
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

CLIP = Path(__file__).parents[3] / "shared" / "assets" / "dyad_speaker_listener_9s.mp4"
WORDS = ["--piece-seconds", "4", "--min-seconds", "2", "--mean-degree", "1.5", "--workers", "1"]


def test_from_tars_to_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seamless Interaction's tars become shards that the loader reads; a run that was stopped ends the same."""
    monkeypatch.setattr(faces, "measure_face", open_trees.plant)
    raw = open_trees.seamless(tmp_path / "raw")
    command = ["seamless", "--raw", str(raw), *WORDS, "--keep", "movement:FAUValue"]
    prepare.main([*command, "--out", str(tmp_path / "shards")])
    printed = capsys.readouterr().out
    assert (
        "train: 14 clips; appropriate reactions: near speakers in other conversations with the same prompt" in printed
    )
    prepare.main(["verify", "--data", str(tmp_path / "shards")])

    shards = open_shards(tmp_path / "shards")
    batch = next(shards.train_batches("train", batch_size=2, num_frames=48, image_size=32, max_neighbours=4, seed=0))
    assert batch.video.shape == (2, 48, 32, 32, 3)
    assert batch.speaker.shape == (2, 48, 58)
    assert batch.audio.shape[0] == 2

    description = json.loads((tmp_path / "shards" / "description.json").read_text())
    train = description["splits"]["train"]
    assert description["form"]["name"] == "seamless"
    assert description["form"]["coefficients"] == "measured by MediaPipe"
    assert description["coefficient_names"][:2] == list(ARKIT_NAMES[:2])
    assert train["clip_ids"][1] == "V00_S0001_I00000007_P0002A/4"
    assert {row["reason"] for row in train["left_out"]} >= {"both talk in it", "the partner is missing"}
    confidence = np.load(tmp_path / "shards" / "confidence_train.npy")
    assert confidence.shape == (14, 100, 1)
    assert confidence[2, [0, -1], 0].tolist() == [1, 0]
    assert np.isnan(confidence[3, 50:]).all()  # of 6 s, the second piece lasts 2
    fau = np.load(tmp_path / "shards" / "theirs_movement_FAUValue_train.npy")
    assert fau.shape == (14, 100, 24)
    assert np.isfinite(fau[8, -1]).all()  # P0001 listens in piece 1
    assert np.isnan(fau[1]).all()  # P0002 has none
    labels = np.load(tmp_path / "shards" / "appropriateness_train.npy")
    assert labels.sum() == 14 + 2 * 4  # 1.5 a clip, rounded: 3.5 pairs

    words = ["--data", str(tmp_path / "shards"), "--out", str(tmp_path / "page.html"), "--no-drawn"]
    prepare.main(["look", *words, "--pieces", "1"])
    text = (tmp_path / "page.html").read_text()
    assert text.count("<figure") == 2
    assert "V00 P0001 (train, val)" in text
    assert "near speakers in other conversations" in text
    for more, message in (
        ([], "already exists; give --overwrite"),
        (["--overwrite", "--seconds", "0"], "--seconds above 0"),
    ):
        with pytest.raises(SystemExit):
            prepare.main(["look", *words, *more])
        assert message in " ".join(capsys.readouterr().err.split())

    # In two parts, as on two machines, then joined.
    for shard in ("0/2", "1/2"):
        prepare.main([*command, "--out", str(tmp_path / "parts"), "--shard", shard])
        assert not (tmp_path / "parts").exists()
    encoded = sorted((tmp_path / ".parts.partial" / "clips").glob("train-*.json"))
    assert len(encoded) == 7
    prepare.main([*command, "--out", str(tmp_path / "parts")])
    _assert_same(tmp_path / "parts", tmp_path / "shards")
    with pytest.raises(SystemExit):
        prepare.main([*command, "--out", str(tmp_path / "other"), "--shard", "2/2"])
    assert "--shard 2/2 must be i/n with i from 0 to n - 1" in " ".join(capsys.readouterr().err.split())

    # Stopped when the first shard is written and its clips are gone.
    def stop(task: str, done: int, total: int) -> None:
        if (task, done) == ("shards", 1):
            raise KeyboardInterrupt

    reader = OpenReader(raw, "seamless", Cutting(4.0, 2.0), ("movement:FAUValue",), mean_degree=1.5)
    with pytest.raises(KeyboardInterrupt):
        write_shards(reader, tmp_path / "again", report=stop)
    write_shards(reader, tmp_path / "again")
    _assert_same(tmp_path / "again", tmp_path / "shards")


def _assert_same(one: Path, other: Path) -> None:
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
    for path in one.iterdir():
        assert (other / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_piece_that_is_damaged_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index is whole and the pictures are not, the piece counts under --max-bad."""
    monkeypatch.setattr(faces, "measure_face", open_trees.plant)
    for session in ("S1", "S2"):
        for person, talk in (("P1", [(0, 3)]), ("P2", [])):
            open_trees.participant(tmp_path / "raw" / "train", f"V0_{session}_I1_{person}", 4, Fraction(30), talk)
    video = tmp_path / "raw" / "train" / "V0_S2_I1_P2.mp4"
    content = bytearray(video.read_bytes())
    begin = content.index(b"mdat") + 4
    content[begin : begin + len(content) // 4] = b"\xff" * (len(content) // 4)
    video.write_bytes(content)
    command = ["seamless", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "shards"), *WORDS]
    with pytest.raises(SystemExit):
        prepare.main(command)
    prepare.main([*command, "--max-bad", "1"])
    description = json.loads((tmp_path / "shards" / "description.json").read_text())
    (row,) = description["splits"]["train"]["left_out"]
    assert row["damaged"]
    assert row["speaker"] == "V0_S2_I1_P1/0"


def test_real_faces_of_two_people_in_one_picture(tmp_path: Path) -> None:
    """Each half's face has the coefficients that own recordings measure of it."""
    if not CLIP.is_file():
        pytest.skip("the real conversation clip is not beside the repository")
    name = next(f"talk{n}" for n in range(99) if split_by_name(f"talk{n}") == "train")
    (tmp_path / "raw").mkdir()
    video = tmp_path / "raw" / f"{name}.mp4"
    frames = [frame for _, frame in zip(range(25), iterate_video(CLIP), strict=False)]
    with VideoWriter(video, size=(frames[0].shape[0], frames[0].shape[1]), crf=12) as writer:
        for frame in frames:
            writer.write(frame)
    open_trees.voice(tmp_path / "raw" / f"{name}.wav", 1, [(0, 0.8)], rate=16000)
    (split,) = OpenReader(tmp_path / "raw", "realtalk", Cutting(1.0, 1.0)).splits()
    found = split.pieces[0].read()
    tracks, count = find_people(video)
    expected = measure(video, choose_two(tracks, "left", "right", video), count)
    jaw = ARKIT_NAMES.index("jawOpen")
    for clip, tables, person in zip(found.clips, found.tables, expected, strict=True):
        assert len(clip.frames) == 25
        assert tables["confidence"].min() == 1
        assert np.abs(clip.speaker[:, jaw] - person.coefficients[:, jaw]).mean() < 0.03
    # The heads are turned as theirs, and not as each other's.
    turned = [[clip.speaker[:, 52:55] for clip in found.clips], [person.coefficients[:, 52:55] for person in expected]]
    apart = np.array([[np.abs(ours - theirs).mean() for theirs in turned[1]] for ours in turned[0]])
    assert 2 * np.diag(apart).max() < min(apart[0, 1], apart[1, 0])
