"""Strengths from pairwise choices: Bradley and Terry's model, with an interval from resampled participants.

R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs: I. The method of paired comparisons",
Biometrika 39, 1952: i is chosen before j with probability 1 / (1 + exp(s_j - s_i)).
"""

from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float, Int, Real

PRIOR = 0.5
"""Choices each way that are added between methods that were compared: scores stay finite where one always wins. As
Haldane's correction of a logit; it moves scores towards 0 by about its share of the choices."""
_STEPS = 30
_LARGEST_STEP = 2.0
_ENOUGH = 1e-8
_AT_ONCE = 20_000  # problems that are solved together


class Scores(NamedTuple):
    """Strengths of M methods, and between which values they lie."""

    score: Float[np.ndarray, "... M"]
    """Log-strengths; their mean is 0."""
    low: Float[np.ndarray, "... M"]
    high: Float[np.ndarray, "... M"]
    """Ends of the 95 % interval; NaN with fewer than two participants."""


def bradley_terry(wins: Real[np.ndarray, "... M M"]) -> Float[np.ndarray, "... M"]:
    """Log-strengths with mean 0, by Newton's method on all problems of the leading axes together.

    Args:
      wins: how often the row was chosen before the column.
    """
    wins = np.asarray(wins, np.float64)
    shape = wins.shape[:-1]
    wins = wins.reshape(-1, *wins.shape[-2:])
    scores = [_solve(wins[start : start + _AT_ONCE]) for start in range(0, len(wins), _AT_ONCE)]
    return np.concatenate(scores).reshape(shape) if scores else np.zeros(shape)


def _solve(wins: Float[np.ndarray, "B M M"]) -> Float[np.ndarray, "B M"]:
    compared = wins + wins.swapaxes(1, 2) > 0
    wins = np.where(compared, wins + PRIOR, 0.0)
    total = wins + wins.swapaxes(1, 2)
    num_methods = wins.shape[-1]
    score = np.zeros(wins.shape[:2])
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(score[:, None] - score[:, :, None]))  # of row before column
        gradient = (wins - total * expected).sum(2)
        weight = total * expected * (1 - expected)
        hessian = np.eye(num_methods) * weight.sum(2)[..., None] - weight
        # A shift of all scores changes nothing: the constant matrix takes that freedom. The ridge, which
        # moves no result, is for methods that nothing connects with the others: rounding is divided by it.
        step = np.linalg.solve(hessian + 1.0 / num_methods + 1e-6 * np.eye(num_methods), gradient[..., None])[..., 0]
        step = step.clip(-_LARGEST_STEP, _LARGEST_STEP)
        score += step
        if np.abs(step).max(initial=0) < _ENOUGH:
            break
    return score - score.mean(1, keepdims=True)


def scores_of(wins: Int[np.ndarray, "... P M M"], *, resamples: int = 500, seed: int = 0) -> Scores:
    """Strengths with 95 % intervals.

    Participants are resampled, not choices: what one person chooses hangs together. The interval is Student's, with as
    many degrees of freedom as participants less one, around the score with the resampled scores' deviation (times
    sqrt(P / (P - 1)), since a resample of P people varies as if there were P - 1): percentiles of few people's
    resamples are too narrow.

    Args:
      wins: of each of P participants, how often the row was chosen before the column.
      resamples: of participants.
      seed: of the resamples.
    """
    wins = np.asarray(wins)
    people = wins.shape[-3]
    score = bradley_terry(wins.sum(-3))
    if people < 2:
        return Scores(score, np.full_like(score, np.nan), np.full_like(score, np.nan))
    weights = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=resamples)
    resampled = bradley_terry(np.einsum("rp,...pij->...rij", weights.astype(np.float64), wins.astype(np.float64)))
    half = scipy.stats.t.ppf(0.975, people - 1) * resampled.std(-2, ddof=1) * np.sqrt(people / (people - 1))
    return Scores(score, score - half, score + half)
