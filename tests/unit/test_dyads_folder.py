"""Made conversations are written into an empty folder or their own, and nowhere else."""

from pathlib import Path

import pytest

from data_pipeline.dyads import make
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
