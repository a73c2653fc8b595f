"""An evaluation's folder is replaced as a whole; names are shown as they are; arguments contradict nothing."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from reactface_jax.errors import UserError
from reactface_jax.evaluation import report, result
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.escaping import latex, markdown
from reactface_jax.evaluation.rows import evaluate
from reactface_jax.types import Clips

ODD = "a|b_[/x] :smile: %{$1}\n`c` \\d <e>"


@pytest.fixture(scope="module")
def evaluation() -> result.Evaluation:
    generator = np.random.default_rng(0)
    people = generator.standard_normal((2, 3, 60, 4)).cumsum(2)
    clips = Clips(*people, np.eye(3, dtype=bool), [ODD, "b", "c"], ())
    prediction = generator.standard_normal((3, 2, 60, 4)).cumsum(2)
    rows = [evaluate(ODD, prediction, clips)]
    made = report.Report(rows, None, ODD, {"clips": 3}, {"jax": "1"})
    return result.Evaluation(made, clips, {ODD: prediction}, {"prediction": prediction})


def write(evaluation: result.Evaluation, out: Path, page_clips: int = 0) -> str:
    console = Console(markup=False, emoji=False, record=True, width=200, quiet=False)
    result.write(evaluation, out, console, page_clips, None)
    return console.export_text()


def test_a_new_evaluation_takes_the_whole_folder(evaluation, tmp_path):
    out = tmp_path / "out"
    shown = write(evaluation, out, page_clips=1)
    assert "a|b_[/x] :smile:" in shown
    assert sorted(path.name for path in out.iterdir()) == [
        "clip_ids.txt",
        "prediction.npy",
        "report.html",
        "report.json",
        "report.md",
        "report.tex",
    ]
    assert len((out / "clip_ids.txt").read_text().splitlines()) == 3
    assert (out / "clip_ids.txt").read_text().endswith("\nb\nc\n")
    write(evaluation, out)
    assert not (out / "report.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_evaluation_that_fails_leaves_the_old_one(evaluation, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(evaluation, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write", fails)
    with pytest.raises(UserError, match="can't be written: No space left on device"):
        write(evaluation, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_that_are_not_an_evaluation_are_kept(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds files but is not an evaluation"):
        result.check_out(tmp_path, {})
    with pytest.raises(UserError, match=r"would replace --speaker .*speaker\.npy"):
        result.check_out(tmp_path / "x", {"--speaker": tmp_path / "x" / "speaker.npy", "--listener": None})
    with pytest.raises(UserError, match="lies below the file"):
        result.check_out(tmp_path / "thesis.tex" / "out", {})
    result.check_out(tmp_path / "new", {"--checkpoint": tmp_path})


def test_names_are_shown_as_they_are():
    assert markdown(ODD) == r"a\|b\_\[/x\] :smile: %{$1} \`c\` \\d \<e\>"
    assert latex(ODD) == r"a|b\_[/x] :smile: \%\{\$1\} `c` \textbackslash{}d <e>"
    assert latex("#~^&") == r"\#\textasciitilde{}\textasciicircum{}\&"


def test_names_in_reports(evaluation):
    lines = report.to_markdown(evaluation.report).splitlines()
    (row,) = [line for line in lines if line.startswith(r"| a\|b")][:1]
    header = next(line for line in lines if line.startswith("| method |"))
    assert row.replace(r"\|", "").count("|") == header.count("|")
    assert r"a|b\_[/x] :smile: \%\{\$1\}" in report.to_latex(evaluation.report)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give --checkpoint, --converted, --methods or --predictions"),
        ({"checkpoint": Path("a"), "converted": Path("b")}, "--checkpoint and --converted exclude each other"),
        ({"checkpoint": Path("a"), "ceilings": True}, "--ceilings needs --truth"),
        ({"predictions": ("a.npy",), "truth": Path("b")}, "--truth needs --clip-ids"),
        ({"predictions": ("a.npy",), "truth": Path("b"), "ceilings": True}, "--ceilings goes with --checkpoint"),
        ({"predictions": ("a.npy",), "window": 0}, "--window 0 is below 1"),
        ({"checkpoint": Path("a"), "window": 8}, "--window goes with --predictions"),
        ({"checkpoint": Path("a"), "speaker": Path("b")}, "--speaker goes with --predictions"),
        ({"checkpoint": Path("a"), "page_clips": -1}, "--page-clips -1 is negative"),
        ({"checkpoint": Path("a"), "faceverse": Path("nowhere.npz")}, "--faceverse nowhere.npz does not exist"),
        ({"predictions": ("a",), "step": 3}, "--step and --no-average go with runs"),
        ({"predictions": ("a",), "data": "x"}, "--data and --split go with --checkpoint"),
        ({"predictions": ("a",), "speaker": Path("b")}, "--listener is missing"),
    ],
)
def test_arguments_that_contradict_each_other(given, message):
    with pytest.raises(UserError, match=message):
        Arguments(**given)
