"""Shares of choices, and whether they differ from chance."""

from collections.abc import Sequence
from typing import NamedTuple

import scipy.stats


class Share(NamedTuple):
    """How often one of two was chosen."""

    chosen: int
    total: int
    share: float
    """NaN where nothing was asked."""
    low: float
    high: float
    """Ends of Wilson's 95 % interval."""
    p: float
    """Of the exact two-sided binomial test against one half; 1 where nothing was asked."""


def share_of(chosen: int, total: int) -> Share:
    """A share with its interval and its test against 50 %, both of which take choices as independent."""
    if total == 0:
        return Share(0, 0, float("nan"), float("nan"), float("nan"), 1.0)
    test = scipy.stats.binomtest(chosen, total, 0.5)
    low, high = test.proportion_ci(0.95, method="wilson")
    return Share(chosen, total, chosen / total, float(low), float(high), float(test.pvalue))


def holm(p: Sequence[float]) -> list[float]:
    """p-values after Holm's correction for so many tests.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, largest = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected
