"""Strengths from choices: against a value by hand, and in simulated studies whose strengths are known."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from reactface_jax.study.choices import holm, share_of
from reactface_jax.study.simulation import simulate_wins
from reactface_jax.study.strengths import PRIOR, bradley_terry, scores_of


def test_two_methods_have_the_logit_of_their_share() -> None:
    score = bradley_terry(np.array([[0, 30], [10, 0]]))
    expected = np.log((30 + PRIOR) / (10 + PRIOR)) / 2
    np.testing.assert_allclose(score, [expected, -expected], rtol=1e-6)


def test_scores_are_the_most_likely_ones() -> None:
    wins = np.array([[0, 9, 14, 3], [4, 0, 8, 6], [2, 5, 0, 1], [0, 3, 7, 0]])
    smoothed = wins + PRIOR * (1 - np.eye(4))

    def unlikely(free: np.ndarray) -> float:
        score = np.append(free, -free.sum())
        return float((smoothed * np.log1p(np.exp(score[None] - score[:, None]))).sum())

    found = scipy.optimize.minimize(unlikely, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose(bradley_terry(wins), np.append(found, -found.sum()), atol=1e-4)


def test_who_always_wins_and_who_was_never_asked_have_finite_scores() -> None:
    score = bradley_terry(np.array([[0, 40, 0], [0, 0, 0], [0, 0, 0]]))
    assert np.isfinite(score).all()
    assert score[0] > score[2] > score[1]
    assert score[2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("strengths", [(1.2, 0.4, -0.3, -1.3), (0.0, 0.0, 0.0), (2.0, 0.0, -2.0)])
def test_intervals_hold_planted_strengths_in_200_studies(strengths: tuple[float, ...]) -> None:
    """At least 93 % of 200 studies of 40 people who choose 20 times."""
    wins = simulate_wins(strengths, studies=200, participants=40, pairs=20, seed=7)
    found = scores_of(wins, resamples=200)
    inside = (found.low <= strengths) & (strengths <= found.high)
    assert inside.mean() >= 0.93
    assert inside.mean() <= 0.99  # wider ones would prove less than the answers do
    np.testing.assert_allclose(found.score.mean(0), strengths, atol=0.06)


def test_intervals_know_that_one_persons_choices_hang_together() -> None:
    """Everybody who says everything four times makes no study larger."""
    wins = simulate_wins((0.5, 0.0, -0.5), studies=20, participants=30, pairs=15, seed=1)
    once, repeated = scores_of(wins, resamples=300), scores_of(4 * wins, resamples=300)
    ratio = (repeated.high - repeated.low) / (once.high - once.low)
    assert 0.95 < ratio.mean() < 1.1


def test_one_person_gives_no_interval() -> None:
    found = scores_of(np.array([[[0, 3], [1, 0]]]))
    assert np.isnan(found.low).all()
    assert found.score[0] > 0


def test_a_share_is_tested_against_chance() -> None:
    share = share_of(15, 20)
    assert share.share == 0.75
    assert share.p == pytest.approx(2 * scipy.stats.binom.sf(14, 20, 0.5))
    assert share.low == pytest.approx(0.531, abs=1e-3)  # Wilson's, by hand
    assert share.high == pytest.approx(0.888, abs=1e-3)
    assert share_of(0, 0).p == 1


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([]) == []
