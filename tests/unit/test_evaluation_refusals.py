"""What an evaluation refuses before anything is measured, and what is written where the page fails."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from data_pipeline.dyads import ceilings as rule
from reactface_jax.commands import evaluate as command
from reactface_jax.errors import UserError
from reactface_jax.evaluation import asked_methods, evaluate_predictions, evaluate_run, result, rows
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.ceilings import CEILINGS, ceilings
from reactface_jax.evaluation.page import build
from reactface_jax.evaluation.split import SplitPeople


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("speaker", "listener", "ours"):
        np.save(tmp_path / f"{name}.npy", generator.standard_normal((2, 60, 58)).cumsum(1))
    broken = np.zeros((2, 60, 58))
    broken[1, 7, 3] = np.nan
    np.save(tmp_path / "broken.npy", broken)
    np.save(tmp_path / "huge.npy", np.full((2, 60, 58), 1e39))
    (tmp_path / "face.npz").write_bytes(b"garbage")
    return tmp_path


def words(arrays: Path, *predictions: str, **flags: object) -> list[str]:
    given = {"speaker": arrays / "speaker.npy", "listener": arrays / "listener.npy", "out": arrays / "out", **flags}
    said = [word for flag, value in given.items() for word in (f"--{flag.replace('_', '-')}", str(value))]
    return ["--predictions", *predictions, *said]


@pytest.mark.parametrize(
    ("predictions", "flags", "message"),
    [
        (["ours", "broken"], {}, r"--predictions .*broken\.npy: clip 1 \(clip 1\) has values that are not finite"),
        (["ours", "huge"], {}, r"--predictions .*huge\.npy: clip 0 .* or beyond 1e\+15; remove or repair the clip"),
        (["ours"], {"listener": "broken.npy"}, r"--listener .*broken\.npy: clip 1 \(clip 1\) has values"),
        (["ours"], {"speaker": "broken.npy"}, r"--speaker .*broken\.npy: clip 1 \(clip 1\) has values"),
        (["ours"], {"train_listeners": "broken.npy"}, r"--train-listeners .*broken\.npy: clip 1 has values"),
        (["ours"], {"faceverse": "face.npz"}, r"face\.npz"),
        (["ours", "listener"], {}, "calls a method listener, as the report calls an array of the real people; rename"),
    ],
)
def test_predictions_are_refused_before_anything_is_measured(
    arrays: Path,
    predictions: list[str],
    flags: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(evaluate_predictions, "measure_methods", lambda *_, **__: pytest.fail("something was measured"))
    files = {flag: arrays / name for flag, name in flags.items()}
    with pytest.raises(SystemExit) as stop:
        command.main(words(arrays, *(str(arrays / f"{name}.npy") for name in predictions), **files))
    assert stop.value.code == 2
    assert not (arrays / "out").exists()
    assert re.search(message, capsys.readouterr().err)


def test_a_run_can_not_be_called_as_the_people(tmp_path: Path) -> None:
    for name in ("speaker", "neighbours"):
        with pytest.raises(UserError, match=f"calls a method {name}, as the report calls an array of the real people"):
            asked_methods.read_methods([f"{name}={tmp_path}"], None, True)


def test_rows_are_compared_with_a_ceiling() -> None:
    for name in ("GT", *CEILINGS):
        arguments = Arguments(checkpoint=Path("run"), truth=Path("t"), ceilings=True, compare_with=name)
        evaluate_run._check_compared(arguments, ["GT", "ReactFace"])
    with pytest.raises(UserError, match=r"--compare-with planted-sampler is none of GT, ReactFace$"):
        evaluate_run._check_compared(Arguments(checkpoint=Path("run"), compare_with=CEILINGS[1]), ["GT", "ReactFace"])


def test_a_ceiling_that_is_not_there_is_not_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    reactions = np.zeros((2, 1, 5, 58))
    monkeypatch.setattr(rule, "ceiling_rows", lambda *_: [("planted-sampler", reactions)])
    people = object.__new__(SplitPeople)  # without shards
    vars(people).update(split="test", num_frames=5, clips=SimpleNamespace(clip_ids=["a", "b"]))
    assert list(ceilings(Path("truth"), people, 1, "planted-sampler")) == ["planted-sampler"]
    with pytest.raises(UserError, match="--compare-with other-take needs scripts that were played several times"):
        ceilings(Path("truth"), people, 1, "other-take")


def test_a_full_disk_of_temporary_files_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    reactions = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(rows.in_a_file(reactions), reactions)
    monkeypatch.setattr(rows.os, "posix_fallocate", full, raising=False)
    with pytest.raises(
        UserError, match=r"has no room for 0\.0 GiB of reactions \(No space left on device\); .* TMPDIR"
    ):
        rows.in_a_file(reactions)
    monkeypatch.delattr(rows.os, "posix_fallocate")
    monkeypatch.setattr(rows, "_WRITTEN_AT_ONCE", 7)
    np.testing.assert_array_equal(rows.in_a_file(reactions), reactions)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (UserError("a shard is damaged"), r"report\.html could not be written, the rest was: a shard is damaged"),
        (RuntimeError("no codec"), "no codec"),
    ],
)
def test_a_page_that_fails_loses_no_figures(
    arrays: Path, error: Exception, raised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.setattr(build, "write_page", fails)
    arguments, _ = command.parse(words(arrays, str(arrays / "ours.npy")))
    console = Console(quiet=True)
    evaluation, out = evaluate_predictions.evaluate_predictions(arguments, console)
    with pytest.raises(type(error), match=raised):
        result.write(evaluation, out, console, page_clips=1)
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "report.md", "report.tex"]
    assert json.loads((out / "report.json").read_text())["rows"][-1]["method"] == "ours"
