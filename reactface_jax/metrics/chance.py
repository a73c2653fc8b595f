"""FRCorr by chance: what the best of as many inappropriate reactions as there are appropriate ones gives for free."""

import numpy as np
from jaxtyping import Bool, Float, Int

from reactface_jax.metrics.correlation import Moments, concordance, moments


def inappropriate(
    speaker: Float[np.ndarray, "N T C"],
    listener: Float[np.ndarray, "N T C"],
    neighbours: Bool[np.ndarray, "N N"],
    groups: Int[np.ndarray, " N"],
) -> Bool[np.ndarray, "N N"]:
    """[i, j]: listener j has nothing to do with speaker i.

    Neither appropriate, nor the speaker himself (a split holds every conversation with roles swapped too), nor of the
    same group.
    """
    allowed = ~neighbours & (groups[:, None] != groups[None, :])
    rows = {person.tobytes(): j for j, person in enumerate(listener)}
    for i, person in enumerate(speaker):
        if (j := rows.get(person.tobytes())) is not None:
            allowed[i, j] = False
    return allowed


def by_chance(
    prediction: Float[np.ndarray, "K T C"], listener: Moments, allowed: Bool[np.ndarray, " N"], count: int
) -> Float[np.ndarray, " K"]:
    """The best of `count` listeners drawn from the allowed ones without replacement, as the mean of all draws.

    Exact: of n values in rising order the r-th is the largest of C(r - 1, m - 1) of the C(n, m) draws of m. NaN where
    nobody is allowed; all of them where `count` is more than there are.
    """
    number = int(allowed.sum())
    if number == 0:
        return np.full(len(prediction), np.nan)
    # Of everybody, and the allowed ones taken of the scores: nearly all are, and theirs is nearly all of the memory.
    ccc = concordance(moments(prediction), listener)  # C K N
    scores = (ccc * listener.varies[:, None]).sum(0) / np.maximum(listener.varies.sum(0), 1)  # K N
    return np.sort(scores[:, allowed], axis=1) @ largest_of_draw(number, min(count, number))


def largest_of_draw(number: int, count: int) -> Float[np.ndarray, " n"]:
    """Probability that the r-th smallest of `number` values is the largest of `count` drawn ones."""
    odds = np.zeros(number)
    odds[-1] = count / number
    for rank in range(number - 1, count - 1, -1):  # C(r - 1, m - 1) = C(r, m - 1) (r - m + 1) / r
        odds[rank - 1] = odds[rank] * (rank - count + 1) / rank
    return odds
