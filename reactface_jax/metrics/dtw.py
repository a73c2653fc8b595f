"""Dynamic time warping between a prediction and its appropriate reactions: FRDist.

DTW is the square root of the cheapest path's sum of squared Euclidean distances, without a window (tslearn's
definition). The recursion

    cost[i, j] = |x_i - y_j|² + min(cost[i-1, j], cost[i, j-1], cost[i-1, j-1])

is swept along anti-diagonals, on which no cell depends on another, for one sequence against many at once. NumPy, since
a step is three passes over arrays that fit the cache; XLA's loop over the same cells is no faster and must be compiled
for every number of neighbours (docs/metrics.md has the figures). Where neighbours are many, float32 finds the
nearest one and float64 measures the distance to it.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import as_strided

_CELLS = 2**24
"""Cells of a strip of rows that exist at once: 64 MiB in float32."""

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


def nearest_distance(
    prediction: Float[np.ndarray, "N K T C"],
    listener: Float[np.ndarray, "N T C"],
    neighbours: Bool[np.ndarray, "N N"],
) -> Float[np.ndarray, "N K"]:
    """The smallest DTW to any appropriate reaction, of every prediction."""
    nearest = np.empty(prediction.shape[:2])
    for i, row in enumerate(neighbours):
        appropriate = listener[row]
        if len(appropriate) <= prediction.shape[1]:  # measuring the found ones again would cost as much as all
            nearest[i] = distances(prediction[i], appropriate).min(-1)
            continue
        found = distances(prediction[i], appropriate, np.float32).argmin(-1)
        for n in np.unique(found):
            nearest[i, found == n] = distances(prediction[i, found == n], appropriate[n : n + 1])[:, 0]
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


def _costs(x: np.ndarray, y: np.ndarray, dtype: type[np.floating]) -> Float[np.ndarray, "A B"]:
    """Costs of the cheapest paths."""
    if len(x) > len(y):  # the longer list lies along the arrays' inner dimension; DTW is symmetric
        return _costs(y, x, dtype).T
    # |x - y|² as one matrix product of extended vectors. Centred, since it cancels: raw rotations sit near pi.
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    centre = y.mean((0, 1))
    x, y = x - centre, y - centre
    x_norm, y_norm = np.square(x).sum(-1, keepdims=True), np.square(y).sum(-1, keepdims=True)
    rows = np.concatenate([-2 * x, x_norm, np.ones_like(x_norm)], -1).astype(dtype)  # A T C+2
    columns = np.concatenate([y, np.ones_like(y_norm), y_norm], -1).astype(dtype)  # B S C+2
    noise = 64 * np.finfo(dtype).eps * max(x_norm.max(), y_norm.max())

    num_rows, (num_lanes, num_columns, width) = rows.shape[1], columns.shape
    columns = np.ascontiguousarray(columns.transpose(2, 1, 0)).reshape(width, num_columns * num_lanes)
    height = max(1, min(num_rows, _CELLS // columns.shape[1]))
    strip = np.empty((height, columns.shape[1]), dtype)
    costs = np.empty((len(rows), num_lanes))
    for a, sequence in enumerate(rows):
        border = np.full((num_columns + 1, num_lanes), np.inf, dtype)
        border[0] = 0  # where every path starts
        for start in range(0, num_rows, height):
            cells = strip[: min(height, num_rows - start)]
            np.matmul(sequence[start : start + height], columns, out=cells)
            if dtype is np.float64:
                cells[cells < noise] = 0  # what is left of the product where x_i = y_j
            border = _sweep(cells.reshape(len(cells), num_columns, num_lanes), border)
        costs[a] = border[-1]
    return np.maximum(costs, 0)


def _sweep(cells: Float[np.ndarray, "R S B"], above: Float[np.ndarray, "S+1 B"]) -> Float[np.ndarray, "S+1 B"]:
    """Carries the costs of the row above a strip of rows to the strip's last row.

    Rows of costs have one entry in front, left of the first column. A diagonal's buffer holds row r at r + 1, and at 0
    the row above. Cells outside the strip are never read, but those left of it, which stay infinite.
    """
    num_rows, num_columns, num_lanes = cells.shape
    # diagonals[d, r] is cells[r, d - r]; this view reaches from the first cell to the last and no further.
    r, s, b = cells.strides
    diagonals = as_strided(cells, (num_rows + num_columns - 1, num_rows, num_lanes), (s, r - s, b))
    before, last, new = np.full((3, num_rows + 1, num_lanes), np.inf, cells.dtype)
    before[0], last[0] = above[0], above[1]
    below = np.full_like(above, np.inf)
    for d in range(len(diagonals)):
        low, high = max(0, d - num_columns + 1), min(num_rows, d + 1)
        costs = new[low + 1 : high + 1]
        np.minimum(last[low + 1 : high + 1], last[low:high], out=costs)
        np.minimum(costs, before[low:high], out=costs)
        np.add(costs, diagonals[d, low:high], out=costs)
        if d + 2 <= num_columns:
            new[0] = above[d + 2]
        if high == num_rows:
            below[d - num_rows + 2] = new[num_rows]
        before, last, new = last, new, before
    return below
