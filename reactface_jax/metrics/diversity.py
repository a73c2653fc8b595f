"""How much reactions move (FRVar), differ for one speaker (FRDiv) and between speakers (FRDvs), in float64."""

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


def distance_to_others(prediction: Float[np.ndarray, "N K T C"]) -> Float[np.ndarray, " N"]:
    """A clip's share in FRDvs, which is their mean: the mean squared difference to all other clips' reactions."""
    num_clips, num_reactions = prediction.shape[:2]
    shares = np.zeros(num_clips)
    if num_clips == 1:
        return shares
    for k in range(num_reactions):
        # Σ_j |x_i - x_j|² = N |x_i|² - 2 x_i · Σ x + Σ |x|², seen from the first sequence.
        origin = np.asarray(prediction[0, k], np.float64)
        total = prediction[:, k].sum(0, dtype=np.float64) - num_clips * origin
        squares = np.empty(num_clips)
        for i in range(num_clips):
            difference = prediction[i, k] - origin
            squares[i] = np.vdot(difference, difference)
            shares[i] += num_clips * squares[i] - 2 * np.vdot(difference, total)
        shares += squares.sum()
    return shares / (num_reactions * (num_clips - 1) * origin.size)


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


def offset_within_clips(prediction: Float[np.ndarray, "N K T C"]) -> Float[np.ndarray, " N"]:
    """The part of `within_clips` that is constant over a clip: the same of the reactions' means over time.

    Reactions that differ by a constant are one reaction: the share of this in FRDiv says how much.
    """
    if prediction.strides[1] == 0:
        return within_clips(prediction[:, :1])
    return within_clips(prediction.mean(axis=2, keepdims=True, dtype=np.float64))
