"""The Fréchet distance of two sets of vectors as normal distributions, and how sure it is."""

import math

import numpy as np
from jaxtyping import Float, Int

from reactface_jax.errors import UserError

_PARTS = 20
"""Into which the vectors are cut for the jackknife."""


def frechet(first: Float[np.ndarray, "N D"], second: Float[np.ndarray, "M D"]) -> float:
    """|m1 - m2|² + trace(C1 + C2 - 2 sqrtm(C1 C2)), covariances with ddof 1.

    trace sqrtm(C1 C2) is the sum of the singular values of X1 X2ᵀ, X the centred vectors over sqrt(n - 1): no root of a
    singular matrix is taken, so that fewer vectors than dimensions are no problem and nothing complex appears. With
    more, X is first rotated to its D rows that are not zero, so that nothing of N x M appears either.

    Raises:
        UserError: a set has fewer than two vectors.
    """
    if min(len(first), len(second)) < 2:
        raise UserError("a Fréchet distance needs at least 2 videos or pieces on either side; give more")
    means = [np.asarray(x, np.float64).mean(0) for x in (first, second)]
    x, y = (_short((a - m) / np.sqrt(len(a) - 1)) for a, m in zip((first, second), means, strict=True))
    overlap = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    distance = np.square(means[0] - means[1]).sum() + np.square(x).sum() + np.square(y).sum() - 2 * overlap
    return max(float(distance), 0.0)


def _short(x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "n D"]:
    """A matrix of at most D rows with the same XᵀX."""
    return x if len(x) <= x.shape[1] else np.asarray(np.linalg.qr(x, mode="r"))


def standard_error(real: Float[np.ndarray, "N D"], generated: Float[np.ndarray, "N D"], seed: int = 0) -> float:
    """Of the distance at this number of pairs, by a jackknife that leaves out one of 20 parts after the other.

    Resampling with replacement fails here: repeated vectors shrink the covariances, and move the distance by more than
    it scatters, so that such an interval misses its own estimate. Leaving out repeats nothing. NaN for fewer than 3
    pairs, since a distance needs 2.
    """
    count = len(real)
    if count < 3:
        return math.nan
    parts = min(_PARTS, count)
    part = np.random.default_rng(seed).permutation(count) % parts
    left: Int[np.ndarray, " P"] = np.arange(parts)
    distances = np.array(
        [frechet(real[part != one], generated[part != one]) for one in left if (part != one).sum() > 1]
    )
    return float(np.sqrt((parts - 1) / parts * np.square(distances - distances.mean()).sum()))


def without_bias(real: Float[np.ndarray, "N D"], generated: Float[np.ndarray, "N D"], seed: int = 0) -> float | None:
    """The distance at infinitely many pairs: a straight line in 1 / n through subsets, followed to 0.

    Chong and Forsyth, "Effectively unbiased FID and Inception score", 2020. It may be below 0, as an unbiased estimate
    of 0 must be at times. None for fewer than 8 pairs.
    """
    count = len(real)
    if count < 8:
        return None
    generator = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(count // 3, count, 6).astype(int))
    found = []
    for size in sizes:
        repeats = 1 if size == count else 8
        draws = [generator.permutation(count)[:size] for _ in range(repeats)]
        found.append(np.mean([frechet(real[rows], generated[rows]) for rows in draws]))
    _, intercept = np.polyfit(1 / sizes, found, 1, w=np.sqrt(sizes))
    return float(intercept)
