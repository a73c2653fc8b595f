"""`make demo`, called again: it begins with the first stage whose last file is not there."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = (
    "reactface sample-clip",
    "reactface react",
    "reactface dyads",
    "prepare shards",
    "reactface train",
    "reactface eval",
)


@pytest.mark.parametrize(
    ("there", "done"),
    [
        ((), 0),
        (("speaker.mp4",), 1),
        (("speaker.mp4", "answer.mp4"), 2),
        (("speaker.mp4", "answer.mp4", "raw/dyads.json", "raw/train.csv"), 2),  # killed while it drew, or wrote tables
        (("speaker.mp4", "answer.mp4", "raw/dyads.json", "raw/test.csv"), 3),
        (("speaker.mp4", "answer.mp4", "raw/test.csv", "shards/description.json"), 4),
        (("speaker.mp4", "answer.mp4", "raw/test.csv", "shards/description.json", "run/checkpoints/1/x"), 4),
        (("speaker.mp4", "answer.mp4", "raw/test.csv", "shards/description.json", "run/.trained"), 5),
    ],
    ids=str,
)
def test_a_second_call_goes_on(tmp_path: Path, there: tuple[str, ...], done: int) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    words = ["make", "--dry-run", f"DEMO={tmp_path}", "demo"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [stage for stage in STAGES if stage in printed] == list(STAGES[done:])
