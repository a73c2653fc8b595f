"""An evaluation's folder is replaced as a whole; names are shown as they are; arguments contradict nothing."""

import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from reactface_jax.commands.evaluate import parse
from reactface_jax.config import Config, apply_overrides
from reactface_jax.errors import UserError
from reactface_jax.evaluation import evaluate_run, report, result
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.asked_methods import asked_methods
from reactface_jax.evaluation.escaping import latex, markdown
from reactface_jax.evaluation.rows import Row, evaluate
from reactface_jax.methods import GroundTruth, Inputs, Mirror
from reactface_jax.types import Clips
from reactface_jax.weights.params_file import save_params

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
    result.write(evaluation, out, console, page_clips)
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
        result.check_out(tmp_path, {}, overwrite=True)
    inputs = {"--speaker": tmp_path / "x" / "speaker.npy", "--listener": None}
    with pytest.raises(UserError, match=r"would replace --speaker .*speaker\.npy"):
        result.check_out(tmp_path / "x", inputs, overwrite=True)
    with pytest.raises(UserError, match="lies below the file"):
        result.check_out(tmp_path / "thesis.tex" / "out", {}, overwrite=True)
    result.check_out(tmp_path / "new", {"--checkpoint": tmp_path}, overwrite=False)


def test_an_evaluation_is_kept_unless_asked(evaluation, tmp_path):
    out = tmp_path / "out"
    write(evaluation, out)
    with pytest.raises(UserError, match=r"out holds an evaluation already; give --overwrite to replace it, or another"):
        result.check_out(out, {}, overwrite=False)
    result.check_out(out, {}, overwrite=True)


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
        ({"predictions": ("a.npy",), "truth": Path("b"), "ceilings": True}, "--checkpoint, --converted or --methods"),
        ({"predictions": ("a.npy",), "window": 0}, "--window 0 is below 1"),
        ({"checkpoint": Path("a"), "window": 8}, "--window goes with --predictions"),
        ({"checkpoint": Path("a"), "speaker": Path("b")}, "--speaker goes with --predictions"),
        ({"checkpoint": Path("a"), "page_clips": -1}, "--page-clips -1 is negative"),
        ({"checkpoint": Path("a"), "faceverse": Path("nowhere.npz")}, "--faceverse nowhere.npz does not exist"),
        ({"checkpoint": Path("a"), "renderer": "pirender"}, "--renderer is for FRRea, which needs --i3d"),
        ({"checkpoint": Path("a"), "renderer_weights": Path("b")}, "--renderer-weights is for FRRea"),
        ({"checkpoint": Path("a"), "portrait": Path("b")}, "--portrait is for FRRea"),
        ({"methods": ("mirror",), "realism_pairs": 5}, "--realism-pairs is for FRRea, which needs --i3d"),
        ({"checkpoint": Path("a"), "i3d": Path("b"), "portrait": Path("c")}, "--portrait is for --renderer pirender"),
        ({"checkpoint": Path("a"), "i3d": Path("b"), "renderer": "pirender"}, "pirender needs --portrait"),
        ({"checkpoint": Path("a"), "faceverse": Path(__file__), "page_clips": 0}, "--faceverse is for the page"),
        ({"converted": Path("a"), "step": "best"}, "--step and --no-average are for a training's checkpoints"),
        ({"converted": Path("a"), "average": False}, "--step and --no-average are for a training's checkpoints"),
        ({"checkpoint": Path("a"), "wav2vec2": Path("b")}, "--wav2vec2 goes with --methods"),
        ({"predictions": ("a",), "wav2vec2": Path("b")}, "--wav2vec2 goes with --methods"),
        ({"predictions": ("a",), "step": 3}, "--step and --no-average go with runs"),
        ({"predictions": ("a",), "data": "x"}, "--data and --split go with --checkpoint"),
        ({"predictions": ("a",), "speaker": Path("b")}, "--listener is missing"),
    ],
)
def test_arguments_that_contradict_each_other(given, message):
    with pytest.raises(UserError, match=message):
        Arguments(**given)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"step": 7}, "--step and --no-average are for training runs, and there is none"),
        ({"average": False}, "--step and --no-average are for training runs, and there is none"),
        ({"wav2vec2": Path("nothere")}, "--wav2vec2 is for the row nn-audio; add that to --methods"),
    ],
)
def test_flags_that_no_row_of_a_table_looks_at(flags, message):
    with pytest.raises(UserError, match=message):
        asked_methods(Arguments(methods=("listener", "mirror"), out=Path("out"), **flags))
    with pytest.raises(UserError, match=message):
        asked_methods(Arguments(data="shards", out=Path("out"), **flags))


def test_a_row_that_looks_at_the_flag_takes_it():
    arguments = Arguments(methods=("nn-audio", "mirror"), out=Path("out"), wav2vec2=Path("w"))
    assert [one.name for one in asked_methods(arguments)] == ["Mirror", "NN audio"]


def test_a_converted_folder_is_named_with_the_flag_that_takes_it(tmp_path):
    save_params(tmp_path / "converted", {"kernel": np.zeros(1)}, {"model": {}})
    with pytest.raises(UserError, match=r"converted was converted; give --converted .*converted$"):
        asked_methods(Arguments(checkpoint=tmp_path / "converted"))


def test_two_flags_of_one_thing_agree():
    words = ["--checkpoint", "run", "--data", "a", "--split", "val"]
    with pytest.raises(UserError, match=r"--data a and --data\.dir b contradict each other; give one of them"):
        parse([*words, "--data.dir", "b"])
    with pytest.raises(UserError, match=r"--split val and --eval\.split test contradict each other"):
        parse([*words, "--eval.split=test"])
    arguments, fields = parse([*words, "--data.dir", "a"])
    assert (arguments.data, apply_overrides(Config(), fields).data.dir) == ("a", "a")


def test_another_checkpoint_is_evaluated_in_a_folder_of_its_own():
    def default(**flags: Any) -> Path:
        return evaluate_run._default_out(Arguments(checkpoint=Path("run"), **flags), "test")

    assert default() == Path("run/evaluation-test")
    assert default(step="best") == Path("run/evaluation-test-step-best")
    assert default(step=300) == Path("run/evaluation-test-step-300")


def test_ceilings_stand_before_a_single_methods_row_and_first_in_a_table(monkeypatch):
    people = np.random.default_rng(0).standard_normal((2, 3, 5, 58))
    clips = Clips(*people, np.eye(3, dtype=bool), ["a", "b", "c"], ())
    prepared = object.__new__(evaluate_run._Prepared)  # without the shards of a whole one
    vars(prepared).update(
        config=Config(),
        people=types.SimpleNamespace(clips=clips, listener_videos=None),
        split=types.SimpleNamespace(inputs=Inputs(clips.speaker), known=None),
        comparison=None,
        planned=[evaluate_run._Planned(name, name) for name in ("GT", "Mirror", "ReactFace")],
        ready=[GroundTruth(clips.listener), Mirror()],
        windows={},
    )
    ceilings = {"sampler": people[0][:, None], "other-take": people[1][:, None]}
    answered: dict[str, np.ndarray] = {}

    def measure(answers: Iterable[tuple[str, np.ndarray]], count: int, *_: object, **__: object) -> list[Row]:
        answered.clear()
        answered.update(answers)
        assert len(answered) == count
        return []

    monkeypatch.setattr(evaluate_run, "ceilings", lambda *_: ceilings)
    monkeypatch.setattr(evaluate_run, "measure_methods", measure)
    for flags, order, played in (
        ({"checkpoint": Path("run")}, ["GT", "Mirror", "sampler", "other-take", "ReactFace"], ["ReactFace"]),
        (
            {"methods": ("run", "mirror"), "out": Path("out")},
            ["sampler", "other-take", "GT", "Mirror", "ReactFace"],
            ["ReactFace", "Mirror"],
        ),
    ):
        arguments = Arguments(truth=Path("dyads.json"), ceilings=True, **flags)
        reactions = {"ReactFace": people[0][:, None]}
        evaluate_run._measure(arguments, prepared, reactions, Console())
        assert list(answered) == order
        assert list(reactions) == played
        np.testing.assert_array_equal(answered["other-take"], ceilings["other-take"])
