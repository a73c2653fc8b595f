"""A study's answers, from files to tables: the right numbers, who counts, and each mistake's sentence."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.study import command
from reactface_jax.study.analysis import analyse
from reactface_jax.study.answers import append_answers, begin_file, read_all, read_answers
from reactface_jax.study.design import Amounts, Stimuli, Trial, plan_trials
from reactface_jax.study.questions import QUESTIONS
from reactface_jax.study.study_file import RESULTS, Study, read_study, write_study

METHODS, CLIPS = ("ours", "mirror_1", "mean"), ("a", "b", "c", "d")
STRENGTHS = {"ours": 1.0, "mirror_1": 0.0, "mean": -1.0}


@pytest.fixture(scope="module")
def study() -> Study:
    cells = list(itertools.product(METHODS, CLIPS))
    names = [{cell: f"{kind}-{'-'.join(cell)}.mp4" for cell in cells} for kind in ("right", "right", "wrong")]
    stimuli = Stimuli(METHODS, CLIPS, *names)
    plans = plan_trials(stimuli, Amounts(pairs=12, speakers=6, ratings=6, checks=2), participants=30, seed=0)
    return Study("s1", "Test", 0, True, METHODS, CLIPS, QUESTIONS, tuple(map(tuple, plans)))


def answer(study: Study, trial: Trial, generator: np.random.Generator) -> dict[str, int]:
    """What a simulated participant says: by the methods' strengths, and always right where there is a right one."""
    if trial.right is not None:
        return {trial.kind: trial.right}
    if trial.kind == "rating":
        return {question.name: 3 + round(STRENGTHS[trial.methods[0]]) for question in QUESTIONS}
    left, right = (STRENGTHS[name] for name in trial.methods)
    return {q.name: int(generator.random() < 1 / (1 + np.exp(left - right))) for q in QUESTIONS}


def fill(folder: Path, study: Study, people: range) -> Path:
    generator = np.random.default_rng(5)
    (folder / RESULTS).mkdir(exist_ok=True)
    for person in people:
        begin_file(folder / RESULTS, study, f"p{person:02d}", person)
        for number, trial in enumerate(study.plans[person]):
            append_answers(folder / RESULTS, f"p{person:02d}", number, answer(study, trial, generator), 1.5)
    return folder / RESULTS


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory, study: Study) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(study, folder)
    fill(folder, study, range(30))
    return folder


def test_a_study_is_read_as_it_was_written(answered: Path, study: Study) -> None:
    assert read_study(answered) == study


def test_the_analysis_finds_what_was_planted(answered: Path, study: Study) -> None:
    found = analyse(study, read_all(answered / RESULTS, study))
    assert len(found.participants) == 30
    assert not found.excluded
    for question in QUESTIONS:
        scores = found.scores[question.name]
        planted = np.array([STRENGTHS[name] for name in METHODS])
        assert (np.abs(scores.score - planted) < 0.6).all()
        assert list(np.argsort(-scores.score)) == [0, 1, 2]
    assert sum(each.share.total for each in found.compared) == 30 * 12 * len(QUESTIONS)
    assert all(each.share.share > 0.5 and each.corrected >= each.share.p for each in found.compared)
    for heard in found.heard:
        assert heard.share.share == 1
        assert heard.corrected < 0.001
    assert sum(each.share.total for each in found.heard) == 30 * 6
    assert {(each.method, each.mean) for each in found.rated} == {("ours", 4), ("mirror_1", 3), ("mean", 2)}


def test_shares_count_choices_whichever_side_they_were_on(study: Study, tmp_path: Path) -> None:
    """Somebody who always prefers one method is counted so, left and right alike."""
    (tmp_path / RESULTS).mkdir()
    begin_file(tmp_path / RESULTS, study, "one", 0)
    for number, trial in enumerate(study.plans[0]):
        if trial.kind == "pair" and "mean" in trial.methods:
            place = trial.methods.index("mean")
            answers = {question.name: place for question in QUESTIONS}
            append_answers(tmp_path / RESULTS, "one", number, answers, None)
    found = analyse(study, read_all(tmp_path / RESULTS, study), unfinished=True)
    for each in found.compared:
        if each.against == "mean":
            assert each.share.chosen == 0
            assert each.share.total >= 3


def test_who_is_not_attentive_or_not_finished_does_not_count(study: Study, tmp_path: Path) -> None:
    results = fill(tmp_path, study, range(3))
    lines = (results / "p01.jsonl").read_text().splitlines()
    changed = [
        line.replace(f'"check": {right}', f'"check": {1 - right}')
        for line in lines
        for right in [1 if '"check": 1' in line else 0]
    ]
    (results / "p01.jsonl").write_text("\n".join(changed) + "\n")
    (results / "p02.jsonl").write_text("\n".join((results / "p02.jsonl").read_text().splitlines()[:-4]) + "\n")
    everybody = read_all(results, study)
    found = analyse(study, everybody)
    assert found.participants == ["p00"]
    assert found.excluded == {"p01": "failed 2 of 2 attention checks", "p02": "answered 22 of 26 pages"}
    assert analyse(study, everybody, failures=2, unfinished=True).participants == ["p00", "p01", "p02"]


def test_half_a_line_is_left_out_and_the_first_answer_counts(study: Study, tmp_path: Path) -> None:
    results = fill(tmp_path, study, range(1))
    path = results / "p00.jsonl"
    whole = read_answers(path, study)
    with path.open("a") as file:
        file.write('{"trial": 3, "ans')
    number = next(i for i, trial in enumerate(study.plans[0]) if trial.kind == "check")
    other = {"check": 1 - whole.by_trial[number]["check"]}
    append_answers(results, "p00", number, other, 0.1)
    assert read_answers(path, study) == whole
    assert path.read_text().splitlines()[-2] == '{"trial": 3, "ans'
    assert json.loads(path.read_text().splitlines()[-1])["answers"] == other


def test_tables_in_three_forms(answered: Path, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    command.analyse(answered, resamples=100)
    out = answered / command.ANALYSIS
    printed = capsys.readouterr().out
    assert "## Bradley-Terry scores" in printed
    assert "Chance is 50 %" in printed
    with (out / "table.csv").open() as file:
        mirror, mean = list(csv.DictReader(file))
    assert (mirror["method"], mirror["against"], mean["against"]) == ("ours", "mirror_1", "mean")
    share = float(mean["realism"])
    assert 0.75 < share < 1
    head, _, _, second, *_ = (out / "table.md").read_text().splitlines()
    assert head == "|  | realism | natural motion | appropriateness | synchrony |"
    assert second.startswith(rf"| ours preferred to mean | {100 * share:.1f}\* \[")
    latex = (out / "table.tex").read_text()
    assert rf"ours vs. mirror\_1 & {100 * float(mirror['realism']):.1f}" in latex
    assert rf"{100 * share:.1f}$^{{*}}$ [" in latex
    figures = json.loads((out / "analysis.json").read_text())["figures"]
    assert {figure["table"] for figure in figures} == {"preference", "bradley_terry", "speaker", "rating"}
    with (out / "analysis.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(figures) == 4 * 3 + 4 * 3 + 3 + 4 * 3
    # From the other side, by the same answers.
    command.analyse(answered, method="mean", resamples=100)
    with (out / "table.csv").open() as file:
        turned = next(row for row in csv.DictReader(file) if row["against"] == "ours")
    assert float(turned["realism"]) == pytest.approx(1 - share, abs=1e-5)


def test_mistakes_have_sentences(answered: Path, study: Study, tmp_path: Path) -> None:
    def refused(message: str, **given: object) -> None:
        with pytest.raises(UserError, match=message):
            command.analyse(**{"study": answered} | given)  # type: ignore[arg-type]

    refused("does not exist; give a folder that `reactface study build` wrote", study=tmp_path)
    refused("--method theirs is none of ours, mirror_1, mean", method="theirs")
    refused("--failures -1 is out of range", failures=-1)
    refused("--resamples 5 is out of range", resamples=5)
    refused("is no folder; give the answers' folder", results=tmp_path / "none")
    refused("holds no answers yet", results=tmp_path)
    path = tmp_path / "x.jsonl"
    begin_file(tmp_path, study, "x", 0)
    refused(r"nobody of 1 counts \(x: answered 0 of 26 pages\)", results=tmp_path)
    head = path.read_text()
    for line, message in (
        ('{"trial": 99, "answers": {}}', "answers trial 99, which its plan does not have"),
        ('{"trial": 0, "answers": {"realism": 6}}', "the answers must be to realism, natural_motion"),
        (json.dumps({"trial": 0, "answers": {q.name: 6 for q in QUESTIONS}}), "an answer must be 1 to 5"),
    ):
        path.write_text(head + line + "\n")
        refused(message, results=tmp_path)
    path.write_text(head.replace('"plan": 0', '"plan": 30'))
    refused("names no participant or no plan", results=tmp_path)
    path.write_text(head)
    (tmp_path / "y.jsonl").write_text(head)
    refused("are of the same participant", results=tmp_path)
    path.write_text(head.replace("s1", "s2"))
    refused(r"holds no answers to this study \(s1\)", results=tmp_path)
    (tmp_path / "study.json").write_text("{}")
    refused("describes no study of this version", study=tmp_path)
    (tmp_path / "study.json").write_text('{"format": "reactface study 1", "id": "s1"}')
    refused("is damaged .*build the study again", study=tmp_path)
