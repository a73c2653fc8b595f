"""A few of the random attacks on what `prepare` reads and writes; `benchmarks/attack_raw_tree.py` makes thousands."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "attack_raw_tree.py"


@pytest.fixture
def attack(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the readers' part of the script defines; the other part would import TensorFlow."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    folder = SCRIPT.parent
    return runpy.run_path(str(folder / "damaged_trees.py")) | runpy.run_path(str(folder / "attack_readers.py"))


def test_readers(attack: dict[str, Any], tmp_path: Path) -> None:
    """In this process: 200 arrays and 60 texts."""
    tally = attack["Tally"]()
    arguments = attack["Arguments"](headers=200, tables=60)
    for part in ("attack_headers", "attack_tables"):
        attack[part](tally, arguments, tmp_path, np.random.default_rng(1))
    assert tally.examples == []
    assert sum(tally.runs.values()) == 260
    assert 130 < sum(tally.refused.values()) < 260


@pytest.mark.long
def test_commands() -> None:
    """In a process that has started no threads, since it forks."""
    counts = {"headers": 0, "tables": 0, "trees": 1, "sets": 2, "disks": 1, "kills": 2}
    flags = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), *flags], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout.endswith("tracebacks 0, hangs 0, silent 0, lost 0\n"), ended.stderr
    assert "| folders | 12 | 12 |" in ended.stdout


def test_faults_are_counted(attack: dict[str, Any], tmp_path: Path) -> None:
    """An attack that counts nothing would find nothing."""
    tally = attack["Tally"]()

    def broken() -> str:
        raise KeyError("x")

    def endless() -> str:
        while True:
            pass

    for reader in (broken, endless, lambda: "another table"):
        attack["read"](tally, "reader", 0.05, reader)
    ending = attack["Ending"]
    attack["judge"](tally, "command", ending(code=1, errors="Traceback\nKeyError", hung=False, seconds=1))
    attack["judge"](tally, "command", ending(code=2, errors="error: no such file\n", hung=False, seconds=1))
    attack["judge"](tally, "command", ending(code=-9, errors="", hung=True, seconds=1))
    assert tally.faults == {"tracebacks": 2, "hangs": 2, "silent": 1}
    assert tally.refused == {"command": 1}
