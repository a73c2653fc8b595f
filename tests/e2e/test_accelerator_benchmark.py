"""The benchmark for whoever has a card: complete at toy size, on whatever the tests run on."""

import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_every_part_measures_something(tmp_path):
    command = [sys.executable, "-m", "benchmarks.accelerator", "--toy", "--out", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    figures = json.loads((tmp_path / "out" / "accelerator.json").read_text())
    for name, part in figures["parts"].items():
        assert part["rows"], f"{name}: {part['missing']}\n{run.stderr}"
        assert not part["missing"], run.stderr
        values = [value for row in part["rows"] for value in row.values() if isinstance(value, float)]
        assert values
        assert all(math.isfinite(value) and value > 0 for value in values), name
    names = set(figures["parts"])
    assert names == {
        *("parity", "training", "windows", "ten_reactions", "attention", "rendering", "convolutions", "validation"),
        *("training_changes", "measures"),
    }
    exact = [row["difference"] for row in figures["parts"]["parity"]["rows"] if row["precision"] == "auto"]
    assert max(exact) < 1e-5
    page = (tmp_path / "out" / "accelerator.md").read_text()
    assert page.count("\n|---") == len(names)


def test_a_part_that_fails_is_named_and_the_time_is_kept(tmp_path, monkeypatch):
    from benchmarks import accelerator

    def fails(_):
        yield {"figure": 1.0}
        raise ZeroDivisionError("no card")

    def works(_):
        """Works."""
        yield {"figure": 2.0}
        yield {"figure": 3.0}

    monkeypatch.setattr(accelerator, "PARTS", (fails, works))
    monkeypatch.setattr(sys, "argv", ["accelerator.py", "--out", str(tmp_path)])
    accelerator.main()
    parts = json.loads((tmp_path / "accelerator.json").read_text())["parts"]
    assert parts["fails"]["missing"] == "the rest, since it failed: ZeroDivisionError: no card"
    assert [row["figure"] for row in parts["works"]["rows"]] == [2.0, 3.0]
    monkeypatch.setattr(sys, "argv", ["accelerator.py", "--out", str(tmp_path), "--minutes", "0"])
    accelerator.main()
    parts = json.loads((tmp_path / "accelerator.json").read_text())["parts"]
    assert parts["fails"]["missing"] == "rows that come after these, if there are any, since the time was up"
    assert parts["works"]["missing"] == "all of it, since the time was up"
    assert parts["works"]["rows"] == []
    page = (tmp_path / "accelerator.md").read_text()
    assert "**works**: Works.\n\nMissing: all of it, since the time was up." in page


def test_programs_that_were_not_compiled_are_counted(tmp_path, monkeypatch):
    """By the event that JAX records where it finds a program in its cache."""
    from benchmarks import accelerator

    def loads(_):
        """Loads."""
        for event in ("cache_hits", "cache_misses", "cache_hits"):
            jax.monitoring.record_event(f"/jax/compilation_cache/{event}")
        yield {"compilation": 0.1}

    def compiles(_):
        """Compiles."""
        yield {"compilation": 9.0}

    monkeypatch.setattr(accelerator, "PARTS", (loads, compiles))
    monkeypatch.setattr(sys, "argv", ["accelerator.py", "--out", str(tmp_path)])
    accelerator.main()
    parts = json.loads((tmp_path / "accelerator.json").read_text())["parts"]
    assert {name: part["loaded"] for name, part in parts.items()} == {"loads": 2, "compiles": 0}
    page = (tmp_path / "accelerator.md").read_text()
    assert page.count("Programs that were loaded from the cache instead of compiled: 2.") == 1
