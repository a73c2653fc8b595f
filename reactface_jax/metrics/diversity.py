"""How much reactions move (FRVar), differ for one speaker (FRDiv) and differ between speakers (FRDvs). float64."""

import numpy as np
from jaxtyping import Float


def variance_over_time(prediction: Float[np.ndarray, "N K T C"]) -> Float[np.ndarray, " N"]:
    """FRVar of each clip: the variance over time, ddof 1, averaged over reactions and channels."""
    return np.array([np.var(clip, axis=1, ddof=1, dtype=np.float64).mean() for clip in prediction])


def within_clips(prediction: Float[np.ndarray, "N K T C"]) -> Float[np.ndarray, " N"]:
    """FRDiv of each clip: the mean squared difference between two of its reactions; 0 if it has only one."""
    num_reactions = prediction.shape[1]
    if num_reactions == 1:
        return np.zeros(len(prediction))
    return np.array([_mean_squared_difference(clip) for clip in prediction])


def between_clips(prediction: Float[np.ndarray, "N K T C"]) -> float:
    """FRDvs: the mean squared difference between the reactions to two clips; 0 if there is only one clip."""
    num_reactions = prediction.shape[1]
    if len(prediction) == 1:
        return 0.0
    return float(np.mean([_mean_squared_difference(prediction[:, k]) for k in range(num_reactions)]))


def _mean_squared_difference(sequences: Float[np.ndarray, "A T C"]) -> float:
    """Mean of (x_a - x_b)² over all pairs a ≠ b, times and channels."""
    # Σ_{a≠b} |x_a - x_b|² = 2 (A Σ |x_a|² - |Σ x_a|²), seen from the first sequence: equal ones give 0 exactly.
    count, squares, total = len(sequences), 0.0, np.zeros(sequences.shape[1:])
    origin = np.asarray(sequences[0], np.float64)
    for sequence in sequences[1:]:
        difference = sequence - origin
        squares += float(np.vdot(difference, difference))
        total += difference
    pairs = 2 * (count * squares - float(np.vdot(total, total)))
    return pairs / (count * (count - 1) * origin.size)
