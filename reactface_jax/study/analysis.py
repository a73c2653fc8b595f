"""What the answers prove: who was preferred, whether speakers matter, how good the videos are on their own."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

from reactface_jax.study.answers import Answers
from reactface_jax.study.choices import Share, holm, share_of
from reactface_jax.study.strengths import Scores, scores_of
from reactface_jax.study.study_file import Study


class Compared(NamedTuple):
    """A question asked of two methods."""

    question: str
    method: str
    against: str
    share: Share
    """How often `method` was chosen."""
    corrected: float
    """p after Holm's correction for all pairs of methods and all questions."""


class Heard(NamedTuple):
    """Whether people find out to whom a method's listener reacts."""

    method: str
    share: Share
    """How often the right one was chosen; chance is one half."""
    corrected: float
    """p after Holm's correction for all methods."""


class Rated(NamedTuple):
    """A question asked of a method's videos."""

    question: str
    method: str
    answers: int
    mean: float
    """Of the participants' means; 1 to 5."""
    low: float
    high: float
    """Ends of Student's 95 % interval over participants; NaN with fewer than two."""


@dataclass(frozen=True)
class Analysis:
    """A study's results."""

    methods: Sequence[str]
    questions: Sequence[str]
    participants: Sequence[str]
    """Who counts."""
    excluded: Mapping[str, str]
    """By the participant: why he does not count."""
    compared: Sequence[Compared]
    """Every pair of methods, in the study's order."""
    scores: Mapping[str, Scores]
    """Bradley and Terry's, by the question; empty without pairs."""
    heard: Sequence[Heard]
    rated: Sequence[Rated]


def analyse(
    study: Study, everybody: Sequence[Answers], *, failures: int = 0, unfinished: bool = False, resamples: int = 1000
) -> Analysis:
    """Excludes who was not attentive, and counts, tests and scores the rest.

    Args:
      study: what was asked.
      everybody: the answers of all participants.
      failures: attention checks that one may fail.
      unfinished: whether those count who did not answer all.
      resamples: of participants, for the scores' intervals.
    """
    reasons = {each.participant: why_not(study, each, failures, unfinished) for each in everybody}
    people = [each for each in everybody if not reasons[each.participant]]
    excluded = {name: reason for name, reason in reasons.items() if reason}
    names = [question.name for question in study.questions]
    wins = {name: count_wins(study, people, name) for name in names}
    asked = any(x.any() for x in wins.values())
    return Analysis(
        methods=study.methods,
        questions=names,
        participants=[each.participant for each in people],
        excluded=excluded,
        compared=_compared(study, wins) if asked else [],
        scores={name: scores_of(x, resamples=resamples) for name, x in wins.items()} if asked else {},
        heard=_heard(study, people),
        rated=_rated(study, people),
    )


def why_not(study: Study, answers: Answers, failures: int, unfinished: bool) -> str:
    """Why a participant does not count; "" if he does."""
    plan = study.plans[answers.plan]
    checks = {number: trial.right for number, trial in enumerate(plan) if trial.kind == "check"}
    failed = sum(
        answers.by_trial[number]["check"] != right for number, right in checks.items() if number in answers.by_trial
    )
    if failed > failures:
        return f"failed {failed} of {len(checks)} attention checks"
    if len(answers.by_trial) < len(plan) and not unfinished:
        return f"answered {len(answers.by_trial)} of {len(plan)} pages"
    return ""


def count_wins(study: Study, people: Sequence[Answers], question: str) -> Int[np.ndarray, "P M M"]:
    """How often each participant chose the row's method before the column's."""
    place = {name: number for number, name in enumerate(study.methods)}
    wins = np.zeros((len(people), len(place), len(place)), np.int64)
    for person, each in enumerate(people):
        for number, answers in each.by_trial.items():
            trial = study.plans[each.plan][number]
            if trial.kind == "pair":
                chosen = answers[question]
                wins[person, place[trial.methods[chosen]], place[trial.methods[1 - chosen]]] += 1
    return wins


def _compared(study: Study, wins: Mapping[str, Int[np.ndarray, "P M M"]]) -> list[Compared]:
    pairs = list(itertools.combinations(range(len(study.methods)), 2))
    cells = list(itertools.product(wins, pairs))
    totals = {name: x.sum(0) for name, x in wins.items()}
    shares = [share_of(int(totals[q][i, j]), int(totals[q][i, j] + totals[q][j, i])) for q, (i, j) in cells]
    corrected = holm([share.p for share in shares])
    return [
        Compared(question, study.methods[i], study.methods[j], share, p)
        for (question, (i, j)), share, p in zip(cells, shares, corrected, strict=True)
    ]


def _heard(study: Study, people: Sequence[Answers]) -> list[Heard]:
    counts = {name: [0, 0] for name in study.methods}
    for each in people:
        for number, answers in each.by_trial.items():
            trial = study.plans[each.plan][number]
            if trial.kind == "speaker":
                counts[trial.methods[0]][0] += answers["speaker"] == trial.right
                counts[trial.methods[0]][1] += 1
    shares = {name: share_of(right, total) for name, (right, total) in counts.items() if total}
    corrected = holm([share.p for share in shares.values()])
    return [Heard(name, share, p) for (name, share), p in zip(shares.items(), corrected, strict=True)]


def _rated(study: Study, people: Sequence[Answers]) -> list[Rated]:
    given: dict[tuple[str, str], dict[str, list[int]]] = {}
    for each in people:
        for number, answers in each.by_trial.items():
            trial = study.plans[each.plan][number]
            if trial.kind == "rating":
                for question, value in answers.items():
                    cell = given.setdefault((question, trial.methods[0]), {})
                    cell.setdefault(each.participant, []).append(value)
    found = []
    for question, method in itertools.product((q.name for q in study.questions), study.methods):
        if by_person := given.get((question, method)):
            means: Float[np.ndarray, " P"] = np.array([np.mean(values) for values in by_person.values()])
            low, high = _student(means)
            number = sum(map(len, by_person.values()))
            found.append(Rated(question, method, number, float(means.mean()), low, high))
    return found


def _student(values: Float[np.ndarray, " P"]) -> tuple[float, float]:
    if len(values) < 2:
        return float("nan"), float("nan")
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)
