"""`make table`: what it starts, that it goes on where it was stopped, and the page that it writes."""

import json
import re
import runpy
import shutil
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from learned_row import Offset

from reactface_jax.config import load_config
from reactface_jax.evaluation.published_table import TABLE_II
from reactface_jax.methods import rows
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.state import TrainState
from reactface_jax.weights.run import About

ROOT = Path(__file__).parents[2]
TABLE = runpy.run_path(str(ROOT / "benchmarks" / "table.py"))


@pytest.fixture(autouse=True)
def offset_is_a_row(monkeypatch):
    monkeypatch.setitem(rows.ROWS, "zhou", lambda config: Offset())


def programs(started: list[list[str]]):
    """A stand-in for the commands, which have tests of their own; each leaves what the next one asks for."""

    def run(words: list[str]) -> None:
        started.append(list(words))
        flags = dict(zip(words, [*words[1:], ""], strict=True))
        if words[0] == "dyads":
            write(Path(flags["--out"]) / "dyads.json", "{}")  # comes first, before anything is drawn
            if started.count(list(words)) == 1:
                raise KeyboardInterrupt
            write(Path(flags["--out"]) / "test.csv", "")
        elif words[0] == "prepare":
            write(Path(flags["--out"]) / "description.json", "{}")
        elif words[0] == "train":
            if started.count(list(words)) == 1 and "--resume" not in words:
                save(Path(flags["--workdir"]), 1, words)
                raise KeyboardInterrupt
            save(Path(flags["--workdir"]), 2, words)
        else:
            methods = Path(flags["--methods"]).read_text().split()
            assert [method.partition("=")[0] for method in methods] == ["mirror", "zhou"]
            write(Path(flags["--out"]) / "report.json", json.dumps(REPORT))

    return run


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def save(folder: Path, step: int, words: list[str]) -> None:
    place = words.index("--workdir")
    config = load_config(words[words.index("--config") + 1], words[3:place])
    params, state = Offset().init(jax.random.key(0))
    trained = TrainState.create(params, optax.sgd(0), jax.random.key(0), method_state=state)
    with Checkpoints(folder, keep=1) as checkpoints:
        checkpoints.save(step, trained, About(config, np.zeros(58, np.float32), ("c",) * 58))


def figures(name: str, correlation: float, interval: list[float] | None) -> dict:
    return {
        "method": name,
        "scores": {"clean": {"FRCorr": correlation, "FRVar": 0.0123, "FRSyn": None}},
        "intervals": {"clean": {} if interval is None else {"FRCorr": interval}},
        "frames_per_second": None if name != "Offset" else 123.4,
    }


REPORT = {
    "rows": [figures("Mirror", 0.5, None), figures("Random", 0.7, [0.6, 0.81]), figures("Offset", 0.9, None)],
    "data": {"clips": 4, "frames": 100, "reactions": 10, "resampled": "2 scripts"},
    "config": {},
    "versions": {"jax": "1.2"},
}


def test_every_row_has_a_plan_that_its_configuration_takes(monkeypatch):
    monkeypatch.undo()
    for row in ("reactface", *rows.ROWS):
        config = load_config("demo", ["--method", row, *TABLE["PLANS"][row].split()])
        assert config.method == row


def test_the_table_goes_on_where_it_was_stopped(tmp_path, capsys):
    started: list[list[str]] = []
    words = ["--out", str(tmp_path), "--rows", "mirror", "zhou", "--steps", "2", "--page", str(tmp_path / "page.md")]
    for _ in range(2):
        with pytest.raises(SystemExit, match="130"):
            TABLE["main"](words, programs(started))
    assert [each[0] for each in started] == ["dyads", "dyads", "prepare", "train"]
    assert "--resume" not in started[-1]
    TABLE["main"](words, programs(started))
    assert [each[0] for each in started] == ["dyads", "dyads", "prepare", "train", "train", "eval"]
    assert started[4][-1] == "--resume"
    TABLE["main"](words, programs(started))
    assert len(started) == 6

    text = (tmp_path / "table.md").read_text()
    assert text == (tmp_path / "page.md").read_text()
    assert "Not in this table: delayed-mirror, random" in text
    assert "lfi" in text.splitlines()[-1]
    assert "zhou" not in text.splitlines()[-1]
    surrounded = f"# Mine\n\n{TABLE['BEGIN']}\nold\n{TABLE['END']}\n\nthe end\n"
    (tmp_path / "page.md").write_text(surrounded)
    TABLE["main"](words, programs(started))
    assert (tmp_path / "page.md").read_text() == surrounded.replace("old\n", text)
    assert "4 clips of 100 frames, 10 reactions each" in text
    assert "its 95 % interval. Resampled: 2 scripts. FPS" in text
    assert "| Random | - | 0.0123 | - | 0.70<br>0.60 to 0.81 | - | - | - | - | - | - |" in text
    assert re.search(r"\| Offset \| - \| 0.0123 \| - \| 0.90 \| - \| - \| 123 \| 2 \| \d+\.\d \| 116 \|", text)
    assert TABLE_II["Mirror"][4] > TABLE_II["Random"][4]
    assert "- FRCorr: Mirror below Random here, above in the paper" in text
    assert "- FRSyn: as there" in text

    def refused(*more: str) -> str:
        with pytest.raises(SystemExit) as stop:
            TABLE["main"]([*words[:2], *more], programs(started))
        assert stop.value.code == 2
        return capsys.readouterr().err

    assert "--rows mirrow is none of gt, mirror" in refused("--rows", "mirrow")
    assert "--rows trans-ae needs pictures" in refused("--rows", "trans-ae", "--no-pictures")
    assert "holds a run of other words" in refused("--rows", "zhou", "--steps", "3")


def finishing(started: list[str], stopped: set[str]):
    """A stand-in for the commands that ends at once; FRCorr of a trained row is its number of steps.

    Args:
      started: gets the commands' names.
      stopped: commands that are interrupted.
    """

    def run(words: list[str]) -> None:
        started.append(words[0])
        flags = dict(zip(words, [*words[1:], ""], strict=True))
        if words[0] in stopped:
            raise KeyboardInterrupt
        if words[0] == "dyads":
            write(Path(flags["--out"]) / "test.csv", "")
        elif words[0] == "prepare":
            write(Path(flags["--out"]) / "description.json", "{}")
        elif words[0] == "train":
            save(Path(flags["--workdir"]), int(flags["--train.steps"]), words)
        else:
            found = []
            for method in Path(flags["--methods"]).read_text().split():
                name, _, folder = method.partition("=")
                steps = json.loads((Path(folder) / "table.json").read_text())["words"][-1] if folder else 0
                found.append(figures("Offset" if folder else name, float(steps), None))
            write(Path(flags["--out"]) / "report.json", json.dumps({**REPORT, "rows": found}))

    return run


def correlations(text: str) -> dict[str, str]:
    """FRCorr of each row of a table."""
    cells = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "FRCorr" not in line]
    return {row[0].removeprefix("| "): row[4] for row in cells}


def test_a_row_that_is_trained_anew_is_measured_anew(tmp_path, capsys):
    started: list[str] = []
    words = ["--out", str(tmp_path), "--rows", "zhou", "--steps"]
    TABLE["main"]([*words, "2"], finishing(started, set()))
    assert correlations((tmp_path / "table.md").read_text()) == {"Offset": "2.00"}
    with pytest.raises(SystemExit, match="2"):
        TABLE["main"]([*words, "3"], finishing(started, set()))
    assert "holds a run of other words" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "zhou")
    TABLE["main"]([*words, "3"], finishing(started, set()))
    assert correlations((tmp_path / "table.md").read_text()) == {"Offset": "3.00"}
    assert started == ["dyads", "prepare", "train", "eval", "train", "eval"]
    note = json.loads((tmp_path / "zhou" / "table.json").read_text())
    write(tmp_path / "zhou" / "table.json", json.dumps({**note, "ended": "2026-01-02 03:04:05"}))  # the same words
    TABLE["main"]([*words, "3"], finishing(started, set()))
    assert started[6:] == ["eval"]


def test_an_evaluation_that_was_interrupted_is_made_again(tmp_path):
    started: list[str] = []
    words = ["--out", str(tmp_path), "--steps", "2", "--rows", "zhou"]
    TABLE["main"](words, finishing(started, set()))
    with pytest.raises(SystemExit, match="130"):
        TABLE["main"]([*words, "mirror"], finishing(started, {"eval"}))
    TABLE["main"]([*words, "mirror"], finishing(started, set()))
    assert correlations((tmp_path / "table.md").read_text()) == {"Offset": "2.00", "mirror": "0.00"}
    assert started[-3:] == ["eval", "eval", "eval"]
    TABLE["main"]([*words, "mirror"], finishing(started, {"eval"}))


def test_other_conversations_than_those_in_the_folder_are_refused(tmp_path, capsys):
    started: list[str] = []
    words = ["--out", str(tmp_path), "--rows", "mirror", "--clips"]
    TABLE["main"]([*words, "24"], finishing(started, set()))
    for more in (["240"], ["24", "--no-pictures"]):
        with pytest.raises(SystemExit, match="2"):
            TABLE["main"]([*words, *more], finishing(started, set()))
        message = capsys.readouterr().err
        assert "raw holds conversations made with --clips 24 --seconds 8" in message
        assert f"not with --clips {more[0]} --seconds 8" in message
        assert "give another --out" in message
    assert started == ["dyads", "prepare", "eval"]


def test_conversations_without_a_note_are_held_against_the_words_by_their_own_command(tmp_path):
    """A folder of an earlier version, or whose note is gone: `dyads` refuses what was made otherwise."""
    started: list[str] = []
    words = ["--out", str(tmp_path), "--rows", "mirror"]
    TABLE["main"](words, finishing(started, set()))
    (tmp_path / "conversations.json").unlink()
    TABLE["main"](words, finishing(started, set()))
    assert started == ["dyads", "prepare", "eval", "dyads"]
