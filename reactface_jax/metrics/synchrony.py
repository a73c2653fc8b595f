"""Correlation of a reaction with its speaker at a time lag: FRSyn, and the lag of single channels.

All lags of all channels come from one Fourier transform and cumulated sums, in float64; the result is the loop's over
lags and channels (np.corrcoef of the overlapping frames) to about 1e-12. A lag is positive when the reaction follows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_LAG = 49
"""Frames: 2 s at 25 fps, the ends excluded."""
SHORTEST = MAX_LAG + 2
"""Frames of a clip whose outermost lags overlap in 2 frames; one frame has no correlation."""


class Synchrony(NamedTuple):
    """Lag at the highest correlation with the speaker; an offset is its absolute value."""

    reference_offset: Float[np.ndarray, "N K"]
    """Frames. Where lags have no correlation, argmax returns the first of them: 49 if a channel is constant or the clip
    is shorter than `SHORTEST`, else the first one at which a channel is constant in the frames that overlap."""
    reference_nan: Bool[np.ndarray, "N K"]
    """Where that happened."""
    offset: Float[np.ndarray, "N K"]
    """Frames, from the channels in which both vary; NaN if there are none."""
    peak: Float[np.ndarray, "N K"]
    """The correlation at that offset."""
    lag: Float[np.ndarray, "N K"]
    """The offset with its sign: positive if the reaction follows."""


def synchrony(prediction: Float[np.ndarray, "N K T C"], speaker: Float[np.ndarray, "N T C"]) -> Synchrony:
    """The offset between every reaction and its speaker, as the reference computes it and without its flaws.

    The latter is sought within half the clip's length, so that a peak never rests on a few overlapping frames.
    """
    found = Synchrony(*np.empty((5, *prediction.shape[:2])))
    reach = min(MAX_LAG, prediction.shape[2] // 2)
    for i, (reactions, person) in enumerate(zip(prediction, speaker, strict=True)):
        correlation = lagged_correlation(reactions, person)  # K L C
        mean = correlation.mean(-1)
        found.reference_offset[i] = np.abs(mean.argmax(-1) - MAX_LAG)
        found.reference_nan[i] = np.isnan(mean).any(-1)
        near = _mean_of_defined(correlation[:, MAX_LAG - reach : MAX_LAG + reach + 1], axis=-1)  # K L
        defined = ~np.isnan(near).all(-1)
        near = np.where(np.isnan(near), -np.inf, near)
        found.lag[i] = np.where(defined, near.argmax(-1) - reach, np.nan)
        found.peak[i] = np.where(defined, near.max(-1), np.nan)
    return found._replace(reference_nan=found.reference_nan.astype(bool), offset=np.abs(found.lag))


class ChannelLag(NamedTuple):
    """By how much some channels of the reactions follow the same channels of the speaker."""

    lag: float
    """Frames; NaN if no channel ever varies in both."""
    correlation: float
    """There."""


def channel_lag(
    prediction: Float[np.ndarray, "N K T C"],
    speaker: Float[np.ndarray, "N T C"],
    channels: Sequence[int],
    max_lag: int = MAX_LAG,
) -> ChannelLag:
    """The lag, 0 to `max_lag`, at the peak of the correlation averaged over clips, reactions and the given channels.

    The curve is averaged before its peak is sought, since a single clip holds too few events. Negative lags are left
    out: a split with both roles gives a symmetric curve for real people, each of whom follows the other.

    Args:
      prediction: K reactions to each of N clips.
      speaker: the speaker of each clip.
      channels: which ones, of both.
      max_lag: frames.
    """
    total, count = np.zeros(max_lag + 1), np.zeros(max_lag + 1)
    columns = list(channels)
    for reactions, person in zip(prediction, speaker, strict=True):
        correlation = lagged_correlation(reactions[..., columns], person[..., columns], max_lag)[:, max_lag:]
        total += np.nansum(correlation, axis=(0, 2))
        count += (~np.isnan(correlation)).sum(axis=(0, 2))
    if not count.any():
        return ChannelLag(np.nan, np.nan)
    curve = np.where(count > 0, total / np.maximum(count, 1), -np.inf)
    return ChannelLag(float(curve.argmax()), float(curve.max()))


def lagged_correlation(
    prediction: Float[np.ndarray, "K T C"], speaker: Float[np.ndarray, "T C"], max_lag: int = MAX_LAG
) -> Float[np.ndarray, "K L C"]:
    """Pearson's r of prediction[lag:] and speaker[:-lag] for lags -max_lag … max_lag, by channel.

    NaN where either is constant in the overlap, or the overlap is shorter than 2 frames.
    """
    num_frames = len(speaker)
    lags = np.arange(-max_lag, max_lag + 1)
    overlap = num_frames - np.abs(lags)
    reached = np.clip(lags, -num_frames, num_frames)
    # Centred over the whole clip, which changes no r and keeps the sums small.
    x = np.asarray(prediction, np.float64) - prediction.mean(1, keepdims=True, dtype=np.float64)
    y = np.asarray(speaker, np.float64) - speaker.mean(0, keepdims=True, dtype=np.float64)

    size = 1 << (num_frames + max_lag - 1).bit_length()  # so that no lag wraps around
    spectrum = np.fft.rfft(x, size, axis=1) * np.conj(np.fft.rfft(y, size, axis=0))
    products = np.fft.irfft(spectrum, size, axis=1)[:, reached]  # Σ_t x[t + lag] y[t]; K L C

    x_sum, x_squares = _overlap_sums(x, reached), _overlap_sums(np.square(x), reached)
    y_sum, y_squares = _overlap_sums(y, -reached), _overlap_sums(np.square(y), -reached)
    n = np.maximum(overlap, 1)[:, None]
    covariance = products - x_sum * y_sum / n
    spread = np.maximum(x_squares - np.square(x_sum) / n, 0) * np.maximum(y_squares - np.square(y_sum) / n, 0)
    varies = _varies(prediction, reached) & _varies(speaker, -reached) & (overlap >= 2)[:, None] & (spread > 0)
    correlation = np.clip(covariance / np.sqrt(np.where(varies, spread, 1)), -1, 1)
    return np.where(varies, correlation, np.nan)


def _overlap_sums(x: Float[np.ndarray, "*A T C"], lags: Int[np.ndarray, " L"]) -> Float[np.ndarray, "*A L C"]:
    """Sums of x[lag:] where lag >= 0 and of x[:lag] where it is negative: sums, not differences, so nothing cancels."""
    zero = np.zeros_like(x[..., :1, :])
    up_to = np.concatenate([zero, x.cumsum(-2)], -2)
    since = np.concatenate([zero, x[..., ::-1, :].cumsum(-2)], -2)[..., ::-1, :]
    late, early = np.maximum(lags, 0), np.minimum(lags, 0) + x.shape[-2]
    return np.where((lags >= 0)[:, None], since[..., late, :], up_to[..., early, :])


def _varies(x: Float[np.ndarray, "*A T C"], lags: Int[np.ndarray, " L"]) -> Bool[np.ndarray, "*A L C"]:
    """Whether x changes within each overlap, decided by the values and not by a rounded variance."""
    # A change lies between two frames: an overlap of n frames has n - 1 of them, from its first or up to its last.
    changes = (np.diff(x, axis=-2) != 0).astype(np.float64)
    steps = np.sign(lags) * np.minimum(np.abs(lags), changes.shape[-2])
    return _overlap_sums(changes, steps) > 0


def _mean_of_defined(x: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """Mean of the values that are not NaN; NaN if all are."""
    count = (~np.isnan(x)).sum(axis)
    return np.where(count > 0, np.nansum(x, axis=axis) / np.maximum(count, 1), np.nan)
