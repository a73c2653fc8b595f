"""Made conversations are written into an empty folder or their own, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.dyads import make, writer
from data_pipeline.dyads.ceilings import ceiling_rows
from data_pipeline.dyads.conversations import Recipe, plan, truth
from reactface_jax.errors import UserError


def test_a_file_and_a_folder_below_one(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("years")
    with pytest.raises(UserError, match="notes is not empty and holds no made conversations"):
        make(tmp_path / "notes", num_clips=3)
    with pytest.raises(UserError, match=r"folder .*notes/x can't be written"):
        make(tmp_path / "notes" / "x", num_clips=3)
    assert (tmp_path / "notes").read_text() == "years"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, r"dyads\.json is JSON that is nested too deep"),
        (b"\xff\xfe", r"dyads\.json is no text in UTF-8"),
        (b"[]", r"dyads\.json is not of made conversations; choose an empty folder"),
        (b'{"recipe": 3}', r"dyads\.json is not of made conversations"),
    ],
)
def test_plan_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "dyads.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        make(tmp_path, num_clips=3)
    assert [path.name for path in tmp_path.iterdir()] == ["dyads.json"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: writer._write_text(path, "x"),
        lambda path: writer._write_array(path, np.ones(3)),
        lambda path: writer._write_wave(path, np.ones(3), 16000),
    ],
)
def test_a_place_that_can_not_be_written(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes").touch()
    with pytest.raises(UserError, match=r"taken can't be written: .*directory"):
        write(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_folder_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_path = Path.open

    def refuse(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if "w" in mode:
            raise PermissionError(13, "Permission denied", str(path))
        return open_path(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"dyads\.json can't be written: Permission denied"):
        make(tmp_path, num_clips=3)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf")])
def test_seconds_that_are_no_length(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(UserError, match=f"--seconds {seconds:g} is .*: give 2 or more"):
        make(tmp_path / "new", num_clips=3, seconds=seconds)
    assert not (tmp_path / "new").exists()


def test_a_part_of_another_version_is_not_completed(tmp_path: Path) -> None:
    """Version 1 has other voices, and its dyads.json no number. What is complete may be there again."""
    recipe = {"num_clips": 3, "seconds": 2, "takes": 1}
    make(tmp_path, **recipe, pictures=False, workers=1)
    content = json.loads((tmp_path / "dyads.json").read_text())
    del content["version"]
    (tmp_path / "dyads.json").write_text(json.dumps(content))
    make(tmp_path, **recipe, pictures=False, workers=1)
    sound = next(tmp_path.rglob("*.wav"))
    sound.unlink()
    with pytest.raises(UserError, match="a part of what version 1 of made conversations makes, which version 2 can't"):
        make(tmp_path, **recipe, pictures=False, workers=1)
    assert not sound.exists()


def test_ceilings_of_another_version_are_refused(tmp_path: Path) -> None:
    recipe = Recipe(num_clips=3, seconds=2, takes=1)
    content = truth(recipe, plan(recipe))
    del content["version"]
    (tmp_path / "dyads.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"dyads\.json is of version 1 of made conversations, but only .* version 2"):
        ceiling_rows(tmp_path / "dyads.json", "test", 1, [], 50)
