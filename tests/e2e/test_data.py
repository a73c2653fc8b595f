"""140 clips with every trap, in both forms: checked, written, killed, read back, and three epochs of them."""

import contextlib
import csv
import filecmp
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from unit import raw_tree, trapped_tree
from unit.trapped_tree import LENGTH, LONG, NUM_DAMAGED, PAIRS, Trapped

from data_pipeline.loader import open_shards
from data_pipeline.prepare import main
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError

REPOSITORY = Path(__file__).parents[2]
CLIPS_PER_SHARD = 32


@pytest.fixture(scope="module", params=["flat", pytest.param("per split", marks=pytest.mark.long)])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trapped:
    return trapped_tree.write(tmp_path_factory.mktemp("raw"), per_split=request.param == "per split")


@pytest.fixture(scope="module")
def folder(tree: Trapped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of an undisturbed run."""
    out = tmp_path_factory.mktemp("data") / "shards"
    write_shards(tree.root, out, max_bad=NUM_DAMAGED, clips_per_shard=CLIPS_PER_SHARD)
    return out


@contextlib.contextmanager
def command_line(monkeypatch: pytest.MonkeyPatch, *words: str) -> Iterator[None]:
    monkeypatch.setattr(sys, "argv", ["prepare", *words])
    yield


def test_check_finds_every_trap(
    tree: Trapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with command_line(monkeypatch, "check", "--raw", str(tree.root), "--max-bad", str(NUM_DAMAGED)):
        main()
    printed = capsys.readouterr().out
    words = " ".join(printed.replace("│", " ").split())
    assert "train UDIVA 6 0 6 0" in words
    udiva = set(range(2, 32, 5))  # the first six traps
    for site, remainders in (("NoXI", {0, 1, 2, 4, 5, 6}), ("RECOLA", {3})):
        of_site = {row for row in range(62) if row % 7 in remainders} - udiva
        missing, damaged = of_site & set(tree.missing["train"]), of_site & set(tree.damaged["train"])
        usable = len(of_site - missing - damaged)
        assert f"train {site} {len(of_site)} {usable} {len(missing)} {len(damaged)}" in words
    assert "train: one row left out, because the listener has no audio; such as row" in printed
    form = "png folders" if (tree.root / "train").is_dir() else "mp4"
    assert f"train: 103 videos as {form}" in printed  # 50 whole pairs, and the whole halves of three damaged ones
    assert f"frames of a clip: {LENGTH} (" in printed
    assert f"{LONG} (" in printed
    assert f"{LONG - 1} (1)" in printed
    assert "2 clips whose files differ by a few frames; they are cut to the shortest" in printed
    assert "1 clips whose sound is a little shorter than the video" in printed
    assert "neighbour_emotion_train.npy, appropriate reactions a clip" in printed
    assert "test: no matrix" in printed
    with (tmp_path / "left_out.csv").open() as file:
        rows = list(csv.DictReader(file))
    for why, expected in (("missing", tree.missing), ("damaged", tree.damaged)):
        found = [(row["split"], int(row["row"])) for row in rows if row["why"] == why]
        assert found == [(split, row) for split, of_split in expected.items() for row in of_split]
    assert {"listener has no audio", "speaker has no coefficients", "speaker has no video"} < {
        r["reason"] for r in rows
    }
    reasons = " ".join(row["reason"] for row in rows if row["why"] == "damaged")
    assert ("1.png is not a png" if form == "png folders" else ".mp4 is not a video") in reasons
    assert "has shape (8, 57)" in reasons
    assert "lasts 0.40 s, but its clip 2.40 s" in reasons


def test_check_fails_when_shards_would(
    tree: Trapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = str(tmp_path / "left_out.csv")
    with command_line(monkeypatch, "check", "--raw", str(tree.root), "--rows", rows), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert f"{NUM_DAMAGED} pairs of {tree.root} are damaged, the first in row" in capsys.readouterr().err


def test_one_damaged_pair_too_many_is_named_and_nothing_is_lost(tree: Trapped, folder: Path, tmp_path: Path) -> None:
    message = r"row \d+ of train\.csv, can't be used: .* --max-bad"
    for most in (0, NUM_DAMAGED - 1):
        with pytest.raises(UserError, match=message):
            write_shards(tree.root, tmp_path / "shards", max_bad=most)
    assert not (tmp_path / "shards").exists()
    done = []
    report = lambda task, number, total: done.append((task, number))  # noqa: E731
    out = tmp_path / "shards"
    write_shards(tree.root, out, max_bad=NUM_DAMAGED, clips_per_shard=CLIPS_PER_SHARD, report=report)
    assert done[0][1] > 0  # what the runs before had encoded
    assert_same(folder, out)


def test_verify_and_description(
    tree: Trapped, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with command_line(monkeypatch, "verify", "--data", str(folder)):
        main()
    assert "100 clips of train, 24 clips of val, 16 clips of test" in capsys.readouterr().out
    shard_set = open_shards(folder)
    assert len(list(folder.glob("*-train.array_record-*-of-00004"))) == 4
    for split, pairs in tree.whole.items():
        ids = [speaker for speaker, _ in pairs] + [listener for _, listener in pairs]
        assert shard_set.clip_ids(split) == ids
        np.testing.assert_array_equal(shard_set.appropriateness(split), tree.labels[split])
        left_out = shard_set.description["splits"][split]["left_out"]
        for damaged, expected in ((False, tree.missing), (True, tree.damaged)):
            assert [row["row"] for row in left_out if row["damaged"] is damaged] == expected.get(split, [])
    # The pair that is a frame shorter, both ways, and the others beside it.
    assert Counter(shard_set.num_frames("train")) == {LENGTH: 94, LONG - 1: 2, LONG: 4}
    assert set(shard_set.description["writer"]) > {"reactface-jax", "tensorflow-datasets", "array_record"}


def test_three_epochs(tree: Trapped, folder: Path) -> None:
    shard_set = open_shards(folder)
    count = 2 * PAIRS["train"]
    batches = shard_set.train_batches(
        "train", batch_size=20, num_frames=LENGTH, image_size=28, max_neighbours=4, seed=0
    )
    epochs = [[next(batches) for _ in range(count // 20)] for _ in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(np.concatenate([batch.clip for batch in epoch])), np.arange(count))
    # What was read is what lies in the tree: identities count in the order of the whole pairs, two a pair.
    for batch in epochs[0]:
        for row, clip in enumerate(batch.clip):
            side, pair = divmod(int(clip), PAIRS["train"])
            if shard_set.num_frames("train")[clip] > LENGTH:
                continue
            speaker = raw_tree.coefficients(2 * pair + side, LENGTH)
            listener = raw_tree.coefficients(2 * pair + 1 - side, LENGTH)
            np.testing.assert_allclose(batch.speaker[row] + shard_set.mean_face, speaker, atol=1e-5)
            np.testing.assert_allclose(batch.listener[row] + shard_set.mean_face, listener, atol=1e-5)


DRIVER = """
import multiprocessing, os, signal, sys
from data_pipeline.shards import write as shards

raw, out, place, workers = sys.argv[1:]

def die(*_):
    print("children", *(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def report(task, done, total):
    print(task, done, flush=True)
    if (place == "clips" and task == "train" and done >= 60) or (place == "shards" and task == "shards" and done == 2):
        die()

if __name__ == "__main__":
    if place == "moving":
        shards.take_place = die
    shards.write_shards(raw, out, workers=int(workers), max_bad=3, clips_per_shard=32, report=report)
"""


def test_killed_at_three_places(tree: Trapped, folder: Path, tmp_path: Path) -> None:
    driver, out = tmp_path / "driver.py", tmp_path / "shards"
    driver.write_text(DRIVER)

    def run_until(place: str, workers: int) -> list[list[str]]:
        words = [sys.executable, str(driver), str(tree.root), str(out), place, str(workers)]
        ended = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)
        assert ended.returncode == -9, ended.stderr
        assert not out.exists()
        return [line.split() for line in ended.stdout.splitlines()]

    first = run_until("clips", workers=2)
    assert first[0] == ["train", "0"]
    for child in first[-1][1:]:
        assert_ends(int(child))
    second = run_until("shards", workers=1)
    assert second[0][0] == "train"
    assert int(second[0][1]) >= 60
    third = run_until("moving", workers=1)
    assert ["shards", "2"] in third
    assert ["shards", "1"] not in third
    write_shards(tree.root, out, max_bad=NUM_DAMAGED, clips_per_shard=CLIPS_PER_SHARD)
    assert_same(folder, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["driver.py", "shards"]


def assert_ends(process: int) -> None:
    """A worker whose parent was killed."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail(f"worker {process} outlives its parent")


def assert_same(one: Path, other: Path) -> None:
    """Byte by byte."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert filecmp.cmpfiles(one, other, names, shallow=False) == (names, [], [])
