"""How certain a figure is: 95 % intervals by resampling, and differences between methods on the same clips.

Conversations or scripts are drawn with replacement, each with all its clips, since clips of one are no independent
witnesses (Efron & Tibshirani, "An introduction to the bootstrap", 1993, percentile intervals; Field & Welsh,
"Bootstrapping clustered data", 2007). Of six groups such an interval still holds the truth less often than it says.
All methods of a table share the same draws, so that the draws of two methods can be subtracted. Draws are counts of
clips, with which every figure is one matrix product: scipy.stats.bootstrap would compute all figures 1000 times.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from reactface_jax.metrics.scores import Measurements, Mode

NUM_DRAWS = 1000
LEVEL = 95.0


class Interval(NamedTuple):
    """The 95 % confidence interval of a figure; both ends are NaN where it is undefined."""

    low: float
    high: float


def resamplings(groups: Int[np.ndarray, " N"], seed: int = 0, num_draws: int = NUM_DRAWS) -> Int[np.ndarray, "R N"]:
    """How often each clip is in each of R draws of as many groups as there are, with replacement.

    The same seed gives methods on the same clips the same draws. Of fewer than two groups nothing is drawn: a group's
    draws would all be itself, and say that its figures are certain. All figures of such draws are NaN.
    """
    names, group = np.unique(groups, return_inverse=True)
    count = len(names)
    if count < 2:
        return np.zeros((num_draws, len(groups)), np.int64)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), num_draws)
    return drawn[:, group]


def draws(
    measured: Measurements, mode: Mode, counts: Int[np.ndarray, "R N"] | None = None
) -> dict[str, Float[np.ndarray, " R"]]:
    """The figures of `summarise`, except those of the multi-process code, for each of R resamplings.

    FRDvs compares clips with each other, and a clip drawn twice would be compared with itself: its draws are those of
    the statistic linearised in the clips (Hájek's projection), θ + 2 (mean of the drawn clips' shares - θ).

    Args:
      measured: of one method.
      mode: as in `summarise`.
      counts: from `resamplings`; None draws the clips, each by itself.
    """
    num_clips = len(measured.variance)
    counts = resamplings(np.arange(num_clips)) if counts is None else counts

    def mean(values: np.ndarray) -> Float[np.ndarray, " R"]:
        """Mean over clips and reactions whose value is defined."""
        values = values.reshape(num_clips, -1)
        defined = ~np.isnan(values)
        total, number = counts @ np.where(defined, values, 0).sum(1), counts @ defined.sum(1)
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    share = measured.distance_to_others
    between = np.maximum(2 * mean(share) - share.mean(), 0)
    within = mean(measured.diversity)
    made = {"FRDvs": between, "FRVar": mean(measured.variance), "FRDiv": within}
    sync = measured.synchrony
    factor = 1 if measured.challenge else 10
    if mode == "paper":
        if measured.challenge:
            factor = measured.num_reactions
        return made | {
            "FRCorr": 10 * mean(measured.concordance.every_channel),
            "FRDist": factor * mean(measured.distance),
            "FRSyn": mean(sync.reference_offset),
        }
    return made | {
        "FRCorr": 10 * mean(measured.concordance.varying_channels),
        "FRDist": factor * mean(measured.distance),
        "FRSyn": mean(sync.offset),
        "FRSyn_NaN_share": mean(sync.reference_nan.astype(np.float64)),
        "peak_correlation": mean(sync.peak),
        "conditioning_share": np.where(between > 0, 1 - within / np.where(between > 0, between, 1), np.nan),
        "FRCorr_random_neighbours": 10 * mean(measured.by_chance),
    }


def interval(drawn: Float[np.ndarray, " R"]) -> Interval:
    """The middle 95 % of a figure's draws."""
    defined = drawn[~np.isnan(drawn)]
    if 2 * defined.size < drawn.size:
        return Interval(math.nan, math.nan)
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(float(low), float(high))


def differ(first: Float[np.ndarray, " R"], second: Float[np.ndarray, " R"]) -> bool | None:
    """Whether two methods' figures differ on these clips: 0 lies outside the interval of the paired difference.

    None where that interval is undefined, since either figure is or there are too few groups: nothing is known then.
    """
    low, high = interval(first - second)
    return None if math.isnan(low) else low > 0 or high < 0
