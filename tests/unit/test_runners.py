"""Who does the jobs: this process, others, Apache Beam."""

import filecmp
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import Die, Refuse, Write
from PIL import Image
from raw_tree import write_split
from unit import open_trees

from data_pipeline.prepare import main
from data_pipeline.raw_tree import clips
from data_pipeline.raw_tree.clips import jpeg
from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.raw_tree.react2023_reader import PairOfFiles, React2023Reader
from data_pipeline.shards.parts import EncodePair, read_part
from data_pipeline.shards.runners import Beam, Processes
from data_pipeline.shards.write import write_part, write_shards
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: its newest release needs older packages than constraints.txt has",
)


@pytest.mark.parametrize("workers", [1, 2])
def test_processes(tmp_path: Path, workers: int) -> None:
    jobs = [Write(tmp_path / str(number)) for number in range(7)]
    assert set(Processes(workers).run(jobs)) == set(jobs)
    done_by = {int(job.path.read_text()) for job in jobs}
    assert (done_by == {os.getpid()}) == (workers == 1)
    with pytest.raises(UserError, match=r"job \d can't be done"):
        list(Processes(workers).run([Refuse(number) for number in range(3)]))


def test_process_that_was_ended() -> None:
    with pytest.raises(UserError, match=r"a worker process was ended from outside, .* fewer --workers"):
        list(Processes(2).run([Die(), Die()]))


def test_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    write_split(tmp_path / "raw", "train", [4, 3, 4])
    for workers in (1, 2):
        write_shards(tmp_path / "raw", tmp_path / str(workers), workers=workers)
    assert_same(tmp_path / "1", tmp_path / "2")


def test_files_that_change_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path / "raw", "train", [3])
    video = list_splits(tmp_path / "raw")[0].pairs[0][0].video
    run = EncodePair.run

    def run_and_touch(self: EncodePair) -> None:
        run(self)
        os.utime(str(video), (0, 0))

    monkeypatch.setattr(EncodePair, "run", run_and_touch)
    with pytest.raises(UserError, match=r"the files of NoXI/train_000/Expert_video/1 changed while they were read"):
        write_shards(tmp_path / "raw", tmp_path / "shards")


def test_a_mended_file_is_read_again(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_split(raw, "train", [3, 3])
    video = Path(list_splits(raw)[0].pairs[1][0].video)
    whole = video.read_bytes()
    video.write_text("not a video")
    with pytest.raises(UserError, match=r"train_001/Expert_video/1\.mp4 is not a video"):
        write_shards(raw, tmp_path / "shards")
    video.write_bytes(whole)
    description = write_shards(raw, tmp_path / "shards")
    assert description["splits"]["train"]["clips"] == 4


def test_a_mended_picture_of_a_folder_is_read_again(tmp_path: Path) -> None:
    """Writing over a picture leaves its folder's time as it was."""
    raw = tmp_path / "raw"
    write_split(raw, "train", [3, 3], png=True)
    piece = React2023Reader(raw).splits()[0].pieces[1]
    assert isinstance(piece, PairOfFiles)
    folder = Path(str(piece.speaker.video))
    before = folder.stat().st_mtime_ns
    stamp = piece.stamp()
    (folder / "2.png").write_bytes((folder / "3.png").read_bytes())
    assert folder.stat().st_mtime_ns == before
    assert piece.stamp() != stamp
    job = EncodePair(tmp_path, "train", 1, piece)
    job.run()
    with Image.open(folder / "2.png") as picture:
        expected = np.asarray(picture)
    frames = read_part(job.part(0)).frames
    assert frames[1] == frames[2] == jpeg(expected)


def test_damage_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that could not be read for a while is the same file afterwards."""
    raw = tmp_path / "raw"
    write_split(raw, "train", [3, 3])
    sound = Path(list_splits(raw)[0].pairs[1][0].audio)

    def refuse(path: Path, rate: int) -> np.ndarray:
        if path == sound:
            raise UserError(f"{path} can't be read: Permission denied")
        return read_audio(path, rate)

    with monkeypatch.context() as patch:
        patch.setattr(clips, "read_audio", refuse)
        with pytest.raises(UserError, match="Permission denied"):
            write_shards(raw, tmp_path / "shards")
        write_part(raw, tmp_path / "parts", (0, 1))
    write_part(raw, tmp_path / "parts", (0, 1))
    markers = (tmp_path / ".parts.partial" / "clips").glob("*.json")
    assert not any("damage" in json.loads(marker.read_text()) for marker in markers)
    assert write_shards(raw, tmp_path / "shards")["splits"]["train"]["clips"] == 4


@pytest.mark.parametrize(
    ("writer", "file"),
    [("data_pipeline.shards.assembly.ArrayRecordWriter", "train.array_record"), ("numpy.save", "set")],
)
def test_disk_is_full(tmp_path: Path, writer: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path / "raw", "train", [3])

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, full)
    with pytest.raises(UserError, match=rf"{file}.* can't be written \(.*No space"):
        write_shards(tmp_path / "raw", tmp_path / "shards")
    monkeypatch.undo()
    assert write_shards(tmp_path / "raw", tmp_path / "shards")["splits"]["train"]["clips"] == 2


class TestCommandLine:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--max-bad", "-1"], "--max-bad -1 is negative"),
            (["--workers", "0"], "--workers 0 must be 1 or more"),
            (["--beam-options", "project=p"], "--beam-options needs --beam"),
            (["--beam", "DataflowRunner", "--beam-options", "project"], "--beam-options project is not of the form"),
        ],
    )
    def test_refusals(
        self,
        tmp_path: Path,
        words: list[str],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        out = str(tmp_path / "out")
        monkeypatch.setattr(sys, "argv", ["prepare", "shards", "--raw", str(tmp_path), "--out", out, *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        assert message in capsys.readouterr().err

    def test_beam_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "apache_beam" else find(name))
        with pytest.raises(UserError, match="--beam needs Apache Beam, which is not installed"):
            Beam("DirectRunner")


@needs_beam
@pytest.mark.filterwarnings("default")  # Beam's own
class TestBeam:
    def test_same_bytes_as_processes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_split(tmp_path / "raw", "train", [4, 3, 4])
        write_split(tmp_path / "raw", "val", [4])
        Path(list_splits(tmp_path / "raw")[0].pairs[1][0].video).write_text("not a video")
        write_shards(tmp_path / "raw", tmp_path / "local", max_bad=1)
        words = ["--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "beam"), "--max-bad", "1"]
        monkeypatch.setattr(sys, "argv", ["prepare", "shards", *words, "--beam", "DirectRunner"])
        main()
        assert_same(tmp_path / "local", tmp_path / "beam")

    @pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
    def test_public_form_as_its_parts_joined(self, tmp_path: Path, mode: str) -> None:
        """Two of Beam's workers write the bytes that two machines with a part each do."""
        for number in range(4):
            open_trees.dualtalk_pair(tmp_path / "raw" / "train", f"x_{number}", [(0, 1.9)])
        words = ["dualtalk", "--raw", str(tmp_path / "raw"), "--keep", "flame", "exp", "--piece-seconds", "1"]
        words += ["--min-seconds", "1", "--workers", "1", "--out"]
        for part in (["--shard", "0/2"], ["--shard", "1/2"], []):
            main([*words, str(tmp_path / "parts"), *part])
        options = ["--beam-options", f"direct_running_mode={mode}", "direct_num_workers=2"]
        main([*words, str(tmp_path / "beam"), "--beam", "DirectRunner", *options])
        assert_same(tmp_path / "parts", tmp_path / "beam")

    def test_failing_pipeline(self) -> None:
        with pytest.raises(UserError, match=r"the Beam pipeline on DirectRunner failed \(.*; mend that"):
            list(Beam("DirectRunner", ["direct_num_workers=1"]).run([Refuse(1)]))


def assert_same(one: Path, other: Path) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert filecmp.cmpfiles(one, other, names, shallow=False) == (names, [], [])
