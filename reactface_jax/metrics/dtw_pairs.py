"""The closest pairs among many sequences by dynamic time warping.

The distance of two sequences is a weighted sum, over terms (groups of channels that are warped together), of the square
root of the warping's cost divided by the longer one's length: where lengths are equal it is DTW's distance (see `dtw`)
up to a factor.

Only the closest pairs are wanted. The distances of a sample of pairs give a first limit. Terms are then warped one
after the other; a pair is dropped once its sum exceeds the limit, and within a term a sweep stops when all its pairs
do. If too few pairs are left, the dropped ones are measured again with a higher limit. The result is that of measuring
all pairs, to float32's rounding.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from threadpoolctl import threadpool_limits

from reactface_jax.metrics.dtw import LANES, Strip, first_border, squared_lengths, sweep

_SAMPLED = 4096
"""Pairs that are measured in full to find the limit from."""

_MOST_ROUNDS = 20
"""Times that the limit is raised; then all pairs are measured."""

Columns = tuple[int, Int[np.ndarray, " _"]]
"""Number of a sequence, and those of others to compare it with."""


@dataclass
class Term:
    """Channels that are warped together. They should be near zero on average: squared distances cancel."""

    sequences: Sequence[Float[np.ndarray, "_ C"]]
    weight: float

    def __post_init__(self) -> None:
        # A sum with a NaN is on neither side of a limit, so no limit would ever be wide enough.
        if not np.isfinite(self.weight):
            raise ValueError(f"the weight of a term is {self.weight}; give a finite one")
        for number, sequence in enumerate(self.sequences):
            if not np.isfinite(sequence).all():
                raise ValueError(f"sequence {number} has values that are not finite")
        # The right side of |x - y|² as one product of extended vectors.
        squares = [squared_lengths(sequence)[:, None] for sequence in self.sequences]
        self.columns = [
            np.concatenate([sequence, np.ones_like(square), square], axis=1, dtype=np.float32)
            for sequence, square in zip(self.sequences, squares, strict=True)
        ]

    def rows(self, i: int) -> Float[np.ndarray, "T C2"]:
        """A sequence as the product's left side."""
        sequence = self.sequences[i]
        square = squared_lengths(sequence)[:, None]
        return np.concatenate([-2 * sequence, square, np.ones_like(square)], axis=1, dtype=np.float32)


def closest_pairs(
    terms: Sequence[Term],
    count: int,
    excluded: Int[np.ndarray, "E 2"],
    workers: int = 1,
    seed: int = 0,
    on_row: Callable[[], None] = lambda: None,
) -> tuple[Float[np.ndarray, "N N"], float]:
    """The `count` closest unordered pairs of N sequences.

    Args:
      terms: each with all N sequences; a sequence has the same length in every term.
      count: how many pairs.
      excluded: pairs that don't count.
      workers: threads.
      seed: of the sample of pairs; the result does not depend on it.
      on_row: called N times meanwhile.

    Returns:
      Distances, symmetric, infinite on the diagonal, for excluded pairs and beyond the last of the pairs wanted; and
      the last one's distance. Others at that very distance are among them.

    Raises:
      ValueError: there are not that many pairs, or not that many whose distance is finite in float32.
    """
    allowed = np.triu(np.ones((len(terms[0].sequences),) * 2, bool), 1)
    allowed[excluded.min(axis=1), excluded.max(axis=1)] = False
    num_pairs = int(allowed.sum())
    if not 0 < count <= num_pairs:
        raise ValueError(f"there are {num_pairs} pairs, so 1 to that many can be closest, not {count}")
    distances = np.full(allowed.shape, np.inf, np.float32)
    limit = np.inf
    pool = ThreadPoolExecutor(workers)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            if num_pairs > 2 * _SAMPLED:
                terms, sample = _sampled(terms, allowed, seed)
                # Twice the share that is wanted, and some more, since a sample is not exact.
                limit = float(np.quantile(sample, min(1.0, 2 * count / num_pairs + 16 / len(sample))))
            _measure(terms, allowed, limit, distances, pool, on_row)
            rounds = 0
            while (found := int(np.isfinite(distances).sum())) < count:
                if limit == np.inf:
                    raise ValueError(f"{found} pairs have a distance that is finite in float32, not {count}")
                # A limit of 0, where most of the sample are copies, would never grow.
                rounds += 1
                limit = limit * 1.25 if limit > 0 and rounds < _MOST_ROUNDS else np.inf
                _measure(terms, allowed & np.isinf(distances), limit, distances, pool, lambda: None)
    finally:
        pool.shutdown(cancel_futures=True)
    threshold = float(np.partition(distances[np.isfinite(distances)], count - 1)[count - 1])
    distances[distances > threshold] = np.inf
    return np.minimum(distances, distances.T), threshold


def median_distance(term: Term, seed: int = 0) -> float:
    """The median distance by one term, without its weight, over a sample of pairs."""
    allowed = np.triu(np.ones((len(term.sequences),) * 2, bool), 1)
    return float(np.median(_in_full(term, _sample(allowed, 512, seed)))) / term.weight


def _measure(
    terms: Sequence[Term],
    pairs: Bool[np.ndarray, "N N"],
    limit: float,
    distances: Float[np.ndarray, "N N"],
    pool: ThreadPoolExecutor,
    on_row: Callable[[], None],
) -> None:
    """Fills in the distances of pairs, infinite above the limit."""

    def row(i: int) -> Columns:
        return i, np.flatnonzero(pairs[i])

    for i, found in enumerate(pool.map(lambda i: _row(terms, *row(i), limit), range(len(pairs)))):
        distances[i, row(i)[1]] = found
        on_row()


def _sample(allowed: Bool[np.ndarray, "N N"], count: int, seed: int) -> list[Columns]:
    """About so many pairs: some rows with a few columns each."""
    rng = np.random.default_rng(seed)
    chosen = []
    for i in rng.permutation(np.flatnonzero(allowed.any(axis=1)))[: -(-count // LANES)]:
        others = np.flatnonzero(allowed[i])
        chosen.append((int(i), rng.choice(others, min(LANES, len(others)), replace=False)))
    return chosen


def _in_full(term: Term, pairs: list[Columns]) -> Float[np.ndarray, " n"]:
    return np.concatenate([_row([term], i, others, np.inf) for i, others in pairs])


def _sampled(
    terms: Sequence[Term], allowed: Bool[np.ndarray, "N N"], seed: int
) -> tuple[list[Term], Float[np.ndarray, " n"]]:
    """Distances of some pairs; and the terms, the one that adds most to them first."""
    pairs = _sample(allowed, _SAMPLED, seed)
    parts = [_in_full(term, pairs) for term in terms]
    order = np.argsort([-float(part.mean()) for part in parts])
    return [terms[t] for t in order], np.sum(parts, axis=0)


@np.errstate(over="ignore", invalid="ignore")  # a sum beyond float32 is infinite, and so never among the closest
def _row(terms: Sequence[Term], i: int, others: Int[np.ndarray, " n"], limit: float) -> Float[np.ndarray, " n"]:
    """Distances of sequence i to others; infinite above the limit."""
    total = np.zeros(len(others), np.float32)
    for term in terms:
        rows = term.rows(i)
        lengths = np.array([len(term.columns[j]) for j in others], np.int64)
        for length in np.unique(lengths[np.isfinite(total)]):
            longer = max(len(rows), int(length))
            strip = Strip(len(rows), int(length), np.float32)
            lanes = np.flatnonzero((lengths == length) & np.isfinite(total))
            for first in range(0, len(lanes), LANES):
                block = lanes[first : first + LANES]
                # The cost that takes the pair with most room left above the limit.
                most = float(np.square((limit - total[block].min()) / term.weight)) * longer
                columns = np.stack([term.columns[j] for j in others[block]], axis=1)  # S b C+2
                total[block] += term.weight * np.sqrt(_costs(strip, rows, columns, most) / longer)
        total[total > limit] = np.inf
    return total


def _costs(
    strip: Strip, rows: Float[np.ndarray, "T E"], columns: Float[np.ndarray, "S b E"], most: float
) -> Float[np.ndarray, " b"]:
    """Costs of the cheapest paths; infinite for all as soon as all are above `most`."""
    border = first_border(len(columns), columns.shape[1], np.float32)
    for start in range(0, len(rows), strip.height):
        sweep(strip.cells(rows[start : start + strip.height], columns), border)
        if border.min() > most:
            return np.full(columns.shape[1], np.inf, np.float32)
    return np.maximum(border[-1], 0)
