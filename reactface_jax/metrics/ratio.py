"""A figure that is a sum over clips by another sum over clips: it can be resampled by clips or by groups of them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Ratio(NamedTuple):
    """Σ total / Σ count. A clip that does not count has 0 in both."""

    total: Float[np.ndarray, " N"]
    count: Float[np.ndarray, " N"]

    def value(self) -> float:
        """NaN where nothing counts."""
        return float(self.drawn(np.ones((1, len(self.total)), np.int64))[0])

    def drawn(self, counts: Int[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The figure of R resamplings, which have each clip so many times."""
        total, count = counts @ self.total, counts @ self.count
        return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)


def mean_of(values: Float[np.ndarray, "N K"]) -> Ratio:
    """The mean over clips and reactions of what is not NaN."""
    defined = ~np.isnan(values)
    return Ratio(np.where(defined, values, 0).sum(1), defined.sum(1).astype(np.float64))
