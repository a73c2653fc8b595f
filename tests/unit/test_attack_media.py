"""Thirty files damaged at random: read or refused in a sentence, nothing else (the script has hundreds)."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from attack_media import CLICKS, FORMS, FRAMES, damage, originals, outcome, silent_error


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return originals(tmp_path_factory.mktemp("whole"))


def test_damaged_files_are_read_or_refused(whole: dict[str, bytes], tmp_path: Path) -> None:
    outcomes = {}
    for seed in range(30):
        rng = np.random.default_rng([1, seed])
        form = list(FORMS)[seed % len(FORMS)]
        kind, content = damage(whole[form], rng)
        path = tmp_path / f"{seed}_{kind}.{form}"
        path.write_bytes(content)
        outcomes[path.name] = outcome(path)
    assert {name: result for name, result in outcomes.items() if result not in ("said", "read")} == {}
    assert set(outcomes.values()) == {"said", "read"}


def test_whole_files_are_read(whole: dict[str, bytes], tmp_path: Path) -> None:
    for form, content in whole.items():
        (tmp_path / f"a.{form}").write_bytes(content)
        assert outcome(tmp_path / f"a.{form}") == "read"


def test_errors_of_time_are_seen() -> None:
    numbers: list[int | None] = list(range(FRAMES))
    sound = np.zeros(3 * 16_000, np.float32)
    for click in CLICKS:
        n = np.arange(64)
        sound[round(click * 16_000) + n] = 0.8 * np.sin(2 * np.pi * 1000 * (n + 0.5) / 16_000)
    assert silent_error("mp4", numbers, sound, True) == ""
    assert "a click 0.20 s" in silent_error("mp4", numbers, np.roll(sound, -3200), True)
    assert "a picture 0.40 s" in silent_error("mp4", [*numbers[:30], *numbers[40:]], sound, True)
    assert "40 pictures" in silent_error("mp4", numbers[:40], sound, True)
    assert "a click is heard with picture" in silent_error("ts", [n + 7 for n in range(FRAMES)], sound, True)
