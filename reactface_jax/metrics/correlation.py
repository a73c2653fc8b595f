"""Concordance correlation (CCC) of a prediction with its appropriate reactions: FRCorr.

All pairs of a clip are one matrix product a channel, in float64. Letters: N clips, K reactions, M neighbours, T frames,
C channels; A and B count sequences of any kind.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Moments(NamedTuple):
    """What CCC needs of a set of sequences. Population variances."""

    centred: Float[np.ndarray, "C A T"]
    """Minus its own mean; exactly 0 where a channel is constant."""
    mean: Float[np.ndarray, "C A"]
    variance: Float[np.ndarray, "C A"]
    varies: Bool[np.ndarray, "C A"]

    def take(self, rows: Bool[np.ndarray, " A"]) -> "Moments":
        return Moments(*(x[:, rows] for x in self))


class Concordance(NamedTuple):
    """The best match among a clip's neighbours, by the two ways of averaging over channels."""

    every_channel: Float[np.ndarray, "N K"]
    """Constant channels count as 0: the reference."""
    varying_channels: Float[np.ndarray, "N K"]
    """Channels in which the neighbour is constant are left out: no prediction can correlate with them."""
    by_channel: Float[np.ndarray, "N K C"]
    """Of `varying_channels`' neighbour; NaN in channels in which it is constant."""


def moments(sequences: Float[np.ndarray, "A T C"]) -> Moments:
    """Moments over time, in float64 whatever the input."""
    channels = np.ascontiguousarray(np.moveaxis(sequences, -1, 0), dtype=np.float64)  # C A T
    # By the values and not by the variance: a rounded mean gives a constant sequence a variance above 0.
    varies = channels.max(-1) > channels.min(-1)
    mean = channels.mean(-1)
    centred = (channels - mean[..., None]) * varies[..., None]
    return Moments(centred, mean, np.square(centred).mean(-1), varies)


def concordance(x: Moments, y: Moments) -> Float[np.ndarray, "C A B"]:
    """CCC of all pairs, 2 cov / (var_x + var_y + (mean_x - mean_y)²); 0 where either is constant.

    Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989. The 1e-50 is the
    reference's.
    """
    covariance = np.matmul(x.centred, y.centred.transpose(0, 2, 1)) / x.centred.shape[-1]
    spread = x.variance[:, :, None] + y.variance[:, None, :]
    return 2 * covariance / (spread + np.square(x.mean[:, :, None] - y.mean[:, None, :]) + 1e-50)


def best_concordance(
    prediction: Float[np.ndarray, "N K T C"], listener: Moments, neighbours: Bool[np.ndarray, "N A"]
) -> Concordance:
    """The highest channel-averaged CCC with any appropriate reaction, of every prediction.

    Args:
      prediction: K reactions to each of N clips.
      listener: moments of real listeners.
      neighbours: row i marks those who are appropriate reactions to speaker i; no row is empty.
    """
    shape = prediction.shape[:2]
    best = Concordance(np.empty(shape), np.empty(shape), np.empty((*shape, prediction.shape[-1])))
    for i, row in enumerate(neighbours):
        appropriate = listener.take(row)
        ccc = concordance(moments(prediction[i]), appropriate)  # C K M
        best.every_channel[i] = ccc.mean(0).max(-1)
        counted = np.maximum(appropriate.varies.sum(0), 1)  # a neighbour constant in every channel scores 0
        counting = (ccc * appropriate.varies[:, None]).sum(0) / counted  # K M
        nearest = counting.argmax(-1)
        best.varying_channels[i] = counting.max(-1)
        chosen = np.take_along_axis(ccc, nearest[None, :, None], -1)[..., 0]  # C K
        best.by_channel[i] = np.where(appropriate.varies[:, nearest], chosen, np.nan).T
    return best
