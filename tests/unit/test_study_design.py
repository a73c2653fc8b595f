"""Who sees what in a study: balanced, blind, reproducible."""

import itertools
from collections import Counter

import numpy as np
import pytest

from reactface_jax.study.design import Amounts, Stimuli, Trial, balanced_units, plan_trials

METHODS, CLIPS = ("ours", "mirror", "mean"), ("a", "b", "c", "d", "e")


def stimuli() -> Stimuli:
    cells = list(itertools.product(METHODS, CLIPS))
    names = [{cell: f"{kind}-{'-'.join(cell)}.mp4" for cell in cells} for kind in ("right", "matched", "wrong")]
    return Stimuli(METHODS, CLIPS, *names)


@pytest.mark.parametrize(("groups", "clips", "each", "participants"), [(3, 5, 7, 4), (6, 4, 10, 9), (1, 2, 3, 3)])
def test_units_are_drawn_equally_often(groups: int, clips: int, each: int, participants: int) -> None:
    people = balanced_units(groups, clips, each, participants, np.random.default_rng(3))
    drawn = Counter({(group, clip): 0 for group in range(groups) for clip in range(clips)})
    left = Counter()
    for units in people:
        assert len(units) == each
        mine = Counter({group: 0 for group in range(groups)})
        mine.update(unit.group for unit in units)
        assert max(mine.values()) - min(mine.values()) <= 1
        drawn.update((unit.group, unit.clip) for unit in units)
        for unit in units:
            left[unit.group] += 1 if unit.turned else -1
    assert max(drawn.values()) - min(drawn.values()) <= 1
    assert max(abs(balance) for balance in left.values()) <= 1


def test_a_plan_holds_what_was_asked_for() -> None:
    plans = plan_trials(stimuli(), Amounts(pairs=6, speakers=3, ratings=4, checks=2), participants=5, seed=1)
    for plan in plans:
        assert Counter(trial.kind for trial in plan) == {"pair": 6, "speaker": 3, "rating": 4, "check": 2}
        assert [trial.kind for trial in plan[:4]] == ["rating"] * 4
        assert plan[-1].kind != "check"
        assert plan[4].kind != "check"


def test_trials_name_the_videos_that_they_show() -> None:
    trials = [trial for plan in plan_trials(stimuli(), Amounts(8, 6, 5, 3), participants=6, seed=0) for trial in plan]
    for trial in trials:
        if trial.kind == "speaker":
            assert trial.right is not None
            assert trial.videos[trial.right] == f"matched-{trial.methods[0]}-{trial.clip}.mp4"
            assert trial.videos[1 - trial.right] == f"wrong-{trial.methods[0]}-{trial.clip}.mp4"
        else:
            assert trial.videos == tuple(f"right-{method}-{trial.clip}.mp4" for method in trial.methods)
        assert len(set(trial.videos)) == (1 if trial.kind == "rating" else 2)
    for kind in ("speaker", "check"):
        assert {trial.right for trial in trials if trial.kind == kind} == {0, 1}


def test_two_checks_ask_for_both_sides() -> None:
    """Nobody passes them by one side; which one comes first is drawn."""
    plans = plan_trials(stimuli(), Amounts(pairs=6, checks=3), participants=20, seed=2)
    sides = {tuple(trial.right for trial in plan if trial.kind == "check") for plan in plans}
    assert sides == {(0, 1, 0), (1, 0, 1)}


@pytest.mark.parametrize(
    ("amounts", "kinds"),
    [
        (Amounts(pairs=0, ratings=6, checks=2), "rrcrrcrr"),  # no choices to stand among
        (Amounts(pairs=2, ratings=0, checks=2), "pccp"),
        (Amounts(pairs=1, ratings=2, checks=1), "rrcp"),
        (Amounts(pairs=8, ratings=1, checks=2), "rppcppppcpp"),
    ],
)
def test_checks_are_neither_first_nor_last(amounts: Amounts, kinds: str) -> None:
    for plan in plan_trials(stimuli(), amounts, participants=3, seed=0):
        assert "".join(trial.kind[0] for trial in plan) == kinds


def test_the_seed_decides() -> None:
    def made(seed: int) -> list[list[Trial]]:
        return plan_trials(stimuli(), Amounts(6, 2, 2, 1), participants=3, seed=seed)

    assert made(4) == made(4)
    assert made(4) != made(5)
