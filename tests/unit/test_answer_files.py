"""An answer's files: checked before the work, whole or not at all, nothing overwritten unasked."""

import os
from pathlib import Path

import numpy as np
import pytest

from reactface_jax import answer_files
from reactface_jax.answer_files import check_out, save_coefficients, staged, written
from reactface_jax.errors import UserError
from reactface_jax.output_files import check_folder_of, check_outputs

VIDEO = ["answer.coefficient_names.json", "answer.mp4", "answer.npy"]


def fill(out: Path, value: float, video: str = "answer.mp4") -> None:
    with staged(out) as folder:
        save_coefficients(folder, np.full((1, 2, 58), value, np.float32), ("jawOpen",) * 58)
        (folder / video).write_text(str(value))


def test_an_mp4_with_what_belongs_to_it(tmp_path):
    out = tmp_path / "answer.mp4"
    fill(out, 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == VIDEO
    assert written(out) == [out, out.with_suffix(".npy"), tmp_path / VIDEO[0]]
    with pytest.raises(UserError, match=r"answer\.mp4 already exists; give --overwrite"):
        check_out(out, {}, overwrite=False)
    check_out(out, {}, overwrite=True)
    fill(out, 2.0)
    assert out.read_text() == "2.0"
    assert (np.load(tmp_path / "answer.npy") == 2).all()


def test_a_kill_between_renames_leaves_nothing_new_beside_something_old(tmp_path, monkeypatch):
    out = tmp_path / "answer.mp4"
    fill(out, 1.0)
    replace, calls = Path.replace, []

    def dies(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == allowed + 1:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    for allowed in (0, 1, 2):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            fill(out, 2.0)
        there = sorted(path.name for path in tmp_path.iterdir())
        assert len(there) == allowed
        assert not out.exists() or out.read_text() == "2.0"


def test_a_folder_is_replaced_as_a_whole_and_only_if_it_is_an_answer(tmp_path):
    out = tmp_path / "answer"
    fill(out, 1.0, "listener_1.mp4")
    with pytest.raises(UserError, match=r"answer already exists; give --overwrite"):
        check_out(out, {}, overwrite=False)
    with pytest.raises(UserError, match=r"would replace --speaker .*listener_1\.mp4"):
        check_out(out, {"--speaker": out / "listener_1.mp4"}, overwrite=True)
    fill(out, 2.0, "listener_2.mp4")
    assert [path.name for path in written(out)] == ["listener_2.mp4", "reactions.npy", "coefficient_names.json"]
    (out / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not an answer of this command"):
        check_out(out, {}, overwrite=True)
    for name in ("answer.avi", "answer.NPY", "answer.wav"):
        with pytest.raises(UserError, match=r"must end in \.mp4"):
            check_out(tmp_path / name, {}, overwrite=False)


def test_a_folder_may_have_a_dot_in_its_name(tmp_path):
    check_out(tmp_path / "r.v1", {}, overwrite=False)
    (tmp_path / "speaker.mov").mkdir()
    check_out(tmp_path / "speaker.mov", {}, overwrite=False)


@pytest.mark.parametrize("name", ["answer.mp4", "answer"])
def test_a_full_disk_is_one_sentence(tmp_path, name):
    with pytest.raises(UserError, match="can't be written: No space left"), staged(tmp_path / name):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_places_that_can_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.csv").symlink_to(tmp_path / "file")
    for name, message in {
        "nowhere/a.csv": "folder .*nowhere does not exist",
        "file/a.csv": "lies below the file",
        "folder.csv": "is a folder",
        "dangling.csv": "already exists",
        "file": "already exists",
    }.items():
        with pytest.raises(UserError, match=message):
            check_outputs([tmp_path / name], {}, overwrite=False)
    with pytest.raises(UserError, match=r"link\.csv is --names, and would be overwritten"):
        check_outputs([tmp_path / "link.csv"], {"--names": tmp_path / "file"}, overwrite=True)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(UserError, match="there is no permission to write in"):
        check_folder_of(tmp_path / "new.csv")


@pytest.mark.parametrize("name", ["x" * 240, "x" * 230 + ".mp4"])
def test_a_name_without_room_for_what_is_written_aside(tmp_path, name):
    with pytest.raises(UserError, match=r"the name of .*x(\.mp4)? is too long; give a shorter one"):
        check_out(tmp_path / name, {}, overwrite=False)
    assert not list(tmp_path.iterdir())


def test_only_what_this_command_writes_is_an_answer(tmp_path):
    assert not answer_files._is_answer(tmp_path)
    for name in ("reactions.npy", "answer.mp4", "authors_12.mp4", "coefficient_names.json"):
        (tmp_path / name).touch()
    assert answer_files._is_answer(tmp_path)
    (tmp_path / "listener_1.mp4.txt").touch()
    assert not answer_files._is_answer(tmp_path)
