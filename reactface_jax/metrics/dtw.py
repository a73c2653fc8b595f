"""Dynamic time warping between a prediction and its appropriate reactions: FRDist.

DTW is the square root of the cheapest path's sum of squared Euclidean distances, without a window (tslearn's
definition). The recursion

    cost[i, j] = |x_i - y_j|² + min(cost[i-1, j], cost[i, j-1], cost[i-1, j-1])

is swept row by row, many neighbours side by side in the inner loop, which the compiler turns into vector instructions
(numba; NumPy's wavefront along anti-diagonals takes seven times as long, XLA's loop longer). Squared distances are one
matrix product for each strip of rows.

The nearest neighbour is sought in float32. Faces move along few directions, so a lower bound is computed first: DTW in
the listeners' leading principal components, with the length of the remainder as one more channel. It never exceeds the
distance, since |x - y|² >= |Px - Py|² + (|x - Px| - |y - Py|)², and costs a third of it. Neighbours are measured in the
order of their bounds, as long as the bound is below the best distance so far. Those within rounding of the best are
then measured again in float64, so that the minimum is exact.
"""

import math
from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

_CELLS = 2**20
"""Cells of a strip of rows that exist at once: 4 MiB in float32."""
LANES = 16
"""Neighbours that one sweep takes: two vectors of float32."""
_FIRST = 4
"""Neighbours that are measured before the others' bounds are compared with the best of them."""
_EXPLAINED, _MOST_COMPONENTS = 0.95, 20
"""Share of the listeners' variance that the bound's components must hold, and how many they may be."""

_CHALLENGE_CHANNELS = 25
_CHALLENGE_GROUPS = ((slice(0, 15), 1 / 15), (slice(15, 17), 1.0), (slice(17, 25), 1 / 8))


def channel_groups(num_channels: int) -> tuple[tuple[slice, float], ...]:
    """Channels that are warped together, and the weight of their distance in the sum.

    Coefficients are one group. The REACT challenge's 25 attributes are three: 15 action units, valence and arousal,
    8 expressions.
    """
    return _CHALLENGE_GROUPS if is_challenge(num_channels) else ((slice(0, num_channels), 1.0),)


def is_challenge(num_channels: int) -> bool:
    """Whether sequences are the REACT challenge's 25 attributes."""
    return num_channels == _CHALLENGE_CHANNELS


class Pool:
    """Real reactions, prepared for many nearest-neighbour searches."""

    def __init__(self, listener: Float[np.ndarray, "A S C"]):
        self.listener = listener
        self.centre = listener.mean((0, 1), dtype=np.float64)
        self.components = _components(listener, self.centre)
        self.reduced = None if self.components is None else np.stack([self.reduce(person) for person in listener])

    def reduce(self, x: Float[np.ndarray, "*A C"]) -> Float[np.ndarray, "*A R"]:
        """Components, and the length of what they leave out; in float64 until the end, since that is a difference."""
        assert self.components is not None
        centred = x - self.centre
        kept = centred @ self.components
        left = np.maximum(squared_lengths(centred) - squared_lengths(kept), 0)
        return np.concatenate([kept, np.sqrt(left)[..., None]], -1).astype(np.float32)


def nearest_distance(
    prediction: Float[np.ndarray, "N K T C"],
    listener: Float[np.ndarray, "A S C"] | Pool,
    neighbours: Bool[np.ndarray, "N A"],
    prune: bool = True,
) -> Float[np.ndarray, "N K"]:
    """The smallest DTW to any appropriate reaction, of every prediction.

    Args:
      prediction: K reactions to each of N clips.
      listener: real reactions.
      neighbours: row i marks those that are appropriate to speaker i; no row is empty.
      prune: use lower bounds; changes only the time it takes.
    """
    pool = listener if isinstance(listener, Pool) else Pool(listener)
    nearest = np.empty(prediction.shape[:2])
    for i, row in enumerate(neighbours):
        appropriate = pool.listener[row]
        if len(appropriate) == 1:
            nearest[i] = distances(prediction[i], appropriate)[:, 0]
            continue
        if prune and pool.components is not None:
            candidates = _searched(prediction[i], appropriate, pool, row)
        else:
            candidates = _compared(prediction[i], appropriate)
        for k, kept in enumerate(candidates):
            nearest[i, k] = distances(prediction[i, k : k + 1], appropriate[kept]).min()
    return nearest


def distances(
    x: Float[np.ndarray, "A T C"], y: Float[np.ndarray, "B S C"], dtype: type[np.floating] = np.float64
) -> Float[np.ndarray, "A B"]:
    """DTW of every x with every y, summed over the groups of channels.

    In float32 a cell's error is about 1e-6 of the sequences' squared spread, so that only distances between nearly
    equal sequences suffer; in float64 equal sequences have distance 0 exactly.
    """
    total = np.zeros((len(x), len(y)))
    for channels, weight in channel_groups(x.shape[-1]):
        total += weight * np.sqrt(_costs(x[..., channels], y[..., channels], dtype))
    return total


def _compared(x: Float[np.ndarray, "A T C"], y: Float[np.ndarray, "B S C"]) -> list[Int[np.ndarray, " n"]]:
    """For every x, the y that may be nearest, from all distances in float32."""
    found = distances(x, y, np.float32)
    slack = 0.0
    for channels, weight in channel_groups(x.shape[-1]):
        slack += weight * np.sqrt(_Extended(x[..., channels], y[..., channels], np.float32).slack)
    nearest = found.min(-1, keepdims=True)
    return [np.flatnonzero(row) for row in found <= nearest * (1 + 1e-3) + 2 * slack]


def _searched(
    x: Float[np.ndarray, "A T C"], y: Float[np.ndarray, "B S C"], pool: Pool, row: Bool[np.ndarray, " A2"]
) -> list[Int[np.ndarray, " n"]]:
    """For every x, the y that may be nearest, by a search in float32 that leaves out the others."""
    assert pool.reduced is not None
    pair = _Extended(x, y, np.float32, pool.centre)
    bounds = _costs(pool.reduce(x), pool.reduced[row], np.float32)
    num_rows, (num_columns, num_lanes, _) = x.shape[1], pair.columns.shape
    # What rounding can make of a cost: of its T + S sums, and of its cells, those of the bound and of x included.
    relative = 4 * (num_rows + num_columns) * float(np.finfo(np.float32).eps)
    strip = Strip(num_rows, num_columns, np.float32)
    kept = []
    for rows, bound in zip(pair.rows, bounds, strict=True):
        found = np.full(num_lanes, np.inf)
        order, first = bound.argsort(), 0
        while first < num_lanes:
            limit = found.min() * (1 + relative) + 4 * pair.slack
            lanes = order[first : first + (LANES if first else _FIRST)]
            first += len(lanes)
            lanes = lanes[bound[lanes] * (1 - relative) <= limit]
            if not len(lanes):
                break  # the bounds behind are larger still
            columns = pair.columns[:, lanes]  # S b C+2
            border = first_border(num_columns, len(lanes), np.float32)
            for start in range(0, num_rows, strip.height):
                sweep(strip.cells(rows[start : start + strip.height], columns), border)
                if border.min() > limit:
                    break
            else:
                found[lanes] = border[-1]
        kept.append(np.flatnonzero(found <= found.min() * (1 + relative) + 4 * pair.slack))
    return kept


def _components(listener: Float[np.ndarray, "A S C"], centre: Float[np.ndarray, " C"]) -> np.ndarray | None:
    """Leading principal components [C, R]; None where a few don't hold most of the variance, or groups are warped."""
    num_channels = listener.shape[-1]
    if len(channel_groups(num_channels)) > 1:
        return None
    covariance = np.zeros((num_channels, num_channels))
    for person in listener:
        centred = person - centre
        covariance += centred.T @ centred
    variances, directions = np.linalg.eigh(covariance)
    held = np.cumsum(variances[::-1]) / max(float(variances.sum()), np.finfo(np.float64).tiny)
    count = int(np.searchsorted(held, _EXPLAINED)) + 1
    if count > min(_MOST_COMPONENTS, num_channels // 2):
        return None
    return np.ascontiguousarray(directions[:, ::-1][:, :count])


def squared_lengths(x: Float[np.ndarray, "*A C"]) -> Float[np.ndarray, "*A"]:
    """Squared lengths."""
    return np.einsum("...c,...c->...", x, x)


class _Extended:
    """|x - y|² as one matrix product of extended vectors. Centred, since it cancels: raw rotations sit near pi."""

    def __init__(self, x: np.ndarray, y: np.ndarray, dtype: type[np.floating], centre: np.ndarray | None = None):
        centre = y.mean((0, 1), dtype=np.float64) if centre is None else centre
        x, y = ((np.asarray(z, dtype) - centre.astype(dtype)) for z in (x, y))
        x_norm, y_norm = squared_lengths(x)[..., None], squared_lengths(y)[..., None]
        self.rows = np.concatenate([-2 * x, x_norm, np.ones_like(x_norm)], -1)  # A T C+2
        columns = np.concatenate([y, np.ones_like(y_norm), y_norm], -1)  # B S C+2
        self.columns = np.ascontiguousarray(columns.swapaxes(0, 1))  # S B C+2
        largest, eps = float(max(x_norm.max(), y_norm.max())), float(np.finfo(dtype).eps)
        self.noise = 64 * eps * largest
        """What may be left of the product where x_i = y_j."""
        self.slack = (x.shape[1] + y.shape[1]) * 4 * columns.shape[-1] * eps * largest
        """No more than the rounding of a path's cells: a dot product's error bound, times the path's length."""


def _costs(x: np.ndarray, y: np.ndarray, dtype: type[np.floating]) -> Float[np.ndarray, "A B"]:
    """Costs of the cheapest paths."""
    if len(x) > len(y):  # the longer list lies along the arrays' inner dimension; DTW is symmetric
        return _costs(y, x, dtype).T
    pair = _Extended(x, y, dtype)
    num_rows, (num_columns, num_lanes, _) = x.shape[1], pair.columns.shape
    strip = Strip(num_rows, num_columns, dtype)
    costs = np.empty((len(x), num_lanes))
    for first in range(0, num_lanes, LANES):
        columns = np.ascontiguousarray(pair.columns[:, first : first + LANES])
        for a, rows in enumerate(pair.rows):
            border = first_border(num_columns, columns.shape[1], dtype)
            for start in range(0, num_rows, strip.height):
                cells = strip.cells(rows[start : start + strip.height], columns)
                if dtype is np.float64:
                    cells[cells < pair.noise] = 0
                sweep(cells, border)
            costs[a, first : first + LANES] = border[-1]
    return np.maximum(costs, 0)


class Strip:
    """Room for the cells of some rows, used again and again: fresh memory would cost as much as the product."""

    def __init__(self, num_rows: int, num_columns: int, dtype: type[np.floating]):
        self.height = max(1, min(num_rows, _CELLS // (num_columns * LANES)))
        self._room = np.empty(self.height * num_columns * LANES, dtype)

    def cells(self, rows: Float[np.ndarray, "r E"], columns: Float[np.ndarray, "S b E"]) -> Float[np.ndarray, "r S b"]:
        """Squared distances, until the next call."""
        shape = (len(rows), *columns.shape[:2])
        cells = self._room[: math.prod(shape)].reshape(len(rows), -1)
        np.matmul(rows, columns.reshape(-1, columns.shape[-1]).T, out=cells)
        return cells.reshape(shape)


def first_border(num_columns: int, num_lanes: int, dtype: type[np.floating]) -> Float[np.ndarray, "_ B"]:
    """Costs in front of the first row: one entry left of the first column, where every path starts."""
    border = np.full((num_columns + 1, num_lanes), np.inf, dtype)
    border[0] = 0
    return border


@no_type_check  # beartype's wrapper can't be compiled
@numba.njit(nogil=True, cache=True)
def sweep(cells, border):
    """Carries the costs [S+1, B] of the row above a strip of cells [R, S, B] to the strip's last row, in place."""
    num_rows, num_columns, num_lanes = cells.shape
    diagonal = np.empty(num_lanes, cells.dtype)
    left = np.empty(num_lanes, cells.dtype)
    for i in range(num_rows):
        for b in range(num_lanes):
            diagonal[b] = border[0, b]
            left[b] = np.inf
            border[0, b] = np.inf
        for j in range(num_columns):
            for b in range(num_lanes):
                above = border[j + 1, b]
                cost = min(min(above, diagonal[b]), left[b]) + cells[i, j, b]
                diagonal[b] = above
                left[b] = cost
                border[j + 1, b] = cost
