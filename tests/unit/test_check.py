"""`prepare check` ends with an error where `shards` or a training would."""

from pathlib import Path

import numpy as np
import pytest
from raw_tree import person, write_csv, write_split, write_wav

from data_pipeline.raw_tree.check import check
from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.shards.command import shards
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "raw"
    write_split(root, "train", [4, 4, 4])
    return root


def test_a_whole_tree(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(str(tree))
    printed = capsys.readouterr().out
    assert "left_out.csv: no row is left out" in printed
    assert "train: frames of a clip: 4 (6 clips)" in printed
    assert Path("left_out.csv").read_text() == "split,row,speaker_path,listener_path,why,reason\n"


def test_rows_can_not_be_written(tree: Path) -> None:
    with pytest.raises(UserError, match=r"--rows nowhere/rows\.csv can't be written: there is no folder nowhere"):
        check(str(tree), rows="nowhere/rows.csv")
    with pytest.raises(UserError, match=r"--rows raw is a folder"):
        check(str(tree), rows="raw")
    before = (tree / "train.csv").read_bytes()
    with pytest.raises(UserError, match=r"train\.csv exists and is no list of left out rows; give another file"):
        check(str(tree), rows="raw/train.csv")
    assert (tree / "train.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("video", b"404", r"1\.mp4 is not a video"),
        ("audio", b"", r"1\.wav is empty"),
        ("coefficients", b"404", r"1\.npy can't be read as an array"),
        ("attributes", b"a,b\n1,2\n", r"1\.csv has 2 columns"),
    ],
)
def test_damaged_files(tree: Path, kind: str, content: bytes, message: str) -> None:
    Path(getattr(list_splits(tree)[0].pairs[1][1], kind)).write_bytes(content)
    with pytest.raises(UserError, match=rf"1 pairs of .* the first in row 1 of train\.csv: .*{message}.*--max-bad 1"):
        check(str(tree))
    check(str(tree), max_bad=1)
    assert Path("left_out.csv").read_text().splitlines()[1].startswith("train,1,NoXI/train_001/Expert_video/1,")
    with pytest.raises(UserError, match=message):
        write_shards(tree, tree.parent / "shards")
    description = write_shards(tree, tree.parent / "shards", max_bad=1)
    (row,) = description["splits"]["train"]["left_out"]
    assert (row["row"], row["damaged"]) == (1, True)


def test_wav_without_samples_and_video_without_picture(tree: Path) -> None:
    speaker, listener = list_splits(tree)[0].pairs[0]
    write_wav(Path(speaker.audio), 0.0)
    with pytest.raises(UserError, match=r"1\.wav has an empty sound track"):
        check(str(tree))
    write_wav(Path(speaker.audio), 1.0)
    Path(listener.video).write_bytes(Path(speaker.audio).read_bytes())
    with pytest.raises(UserError, match=r"Novice_video/1\.mp4 has no video track"):
        check(str(tree))
    other, _ = list_splits(tree)[0].pairs[1]
    Path(other.audio).write_bytes(Path(other.video).read_bytes())
    with pytest.raises(UserError, match="2 pairs of"):
        check(str(tree))
    assert "has no sound track" in Path("left_out.csv").read_text()


def test_two_persons_of_different_clips(tree: Path) -> None:
    write_split(tree, "other", [40])
    (tree / "other.csv").unlink()
    write_csv(
        tree / "train.csv",
        [[person("train", 0, "Expert"), person("other", 0, "Novice")]]
        + [[person("train", i, role) for role in ("Expert", "Novice")] for i in range(3)],
    )
    with pytest.raises(UserError, match=r"has 4 frames, but .*other_000.* of the same clip has 40"):
        check(str(tree))


def test_pngs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "raw"
    write_split(root, "train", [4, 4, 4], png=True, per_split=True)
    check(str(root))
    pairs = list_splits(root)[0].pairs
    (Path(pairs[0][0].video) / "2.png").unlink()
    (Path(pairs[1][0].video) / "1.png").write_text("404")
    for path in Path(pairs[2][0].video).iterdir():
        path.unlink()
    with pytest.raises(UserError, match="every pair of train is damaged"):
        check(str(root))
    rows = Path("left_out.csv").read_text()
    for message in ("has no 2.png", "1.png is not a png", "has no numbered png"):
        assert message in rows
    with pytest.raises(UserError, match=r"every pair of train is damaged; the first: .* has no 2\.png"):
        check(str(root), max_bad=3)
    with pytest.raises(UserError, match=r"every pair of train is damaged; the first: .* has no 2\.png"):
        write_shards(root, tmp_path / "shards", max_bad=3)


def test_every_pair_without_coefficients(tree: Path) -> None:
    for speaker, _ in list_splits(tree)[0].pairs:
        Path(speaker.coefficients).write_text("404")
    with pytest.raises(UserError, match=r"every pair of train is damaged; the first: .*1\.npy can't be read"):
        write_shards(tree, tree.parent / "shards", max_bad=3)


def test_damage_is_allowed_where_it_is_looked_for(tree: Path) -> None:
    with pytest.raises(UserError, match=r"--max-bad is for REACT2023's tree; .* give it to `prepare mars`"):
        check(str(tree), form="mars", max_bad=1)
    with pytest.raises(UserError, match="--max-bad -1 is negative; give the number"):
        check(str(tree), max_bad=-1)


def test_rows_that_are_there_twice(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = [person("train", 0, role) for role in ("Expert", "Novice")]
    write_csv(tree / "train.csv", [row, row])
    check(str(tree))
    shards(str(tree), str(tree.parent / "shards"), workers=1)
    printed = capsys.readouterr().out
    assert printed.count("warning: 1 rows list a pair again, such as rows 0 and 1 of train.csv") == 2


def test_videos_of_two_sizes(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raw_tree.SIZE", 32)
    write_split(tree, "val", [4])
    with pytest.raises(UserError, match=r"val_000/Expert_video/1\.mp4 is 32x32, but .*train_000.* 64x64"):
        check(str(tree))


def test_matrix_of_other_rows(tree: Path) -> None:
    np.save(tree / "neighbour_emotion_train.npy", np.eye(5))
    with pytest.raises(UserError, match=r"has shape \(5, 5\), but train\.csv has 3 rows"):
        check(str(tree))


def test_two_runs_at_once(tree: Path) -> None:
    def again(task: str, done: int, total: int) -> None:
        with pytest.raises(UserError, match=r"another run is writing into .*\.shards\.partial"):
            write_shards(tree, tree.parent / "shards")

    write_shards(tree, tree.parent / "shards", report=again)
