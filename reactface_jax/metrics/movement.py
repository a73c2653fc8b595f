"""How reactions move: smoothly or in steps at window borders, and in channels where nobody moves."""

import numpy as np
from jaxtyping import Bool, Float

from reactface_jax.metrics.ratio import Ratio


def inside_windows(prediction: Float[np.ndarray, "N K T C"], window: int) -> Ratio:
    """Share of the variance over time that lies within windows: 1 - that of the windows' means / that of the frames.

    About half for real listeners and windows of 16 frames; 0 for one value a window. Frames after the last whole
    window are left out; clips shorter than two windows too.
    """
    count, _, frames, _ = prediction.shape
    whole = frames // window
    total, within = np.zeros(count), np.zeros(count)
    for i, clip in enumerate(prediction if whole > 1 else prediction[:0]):
        moving = np.asarray(clip[:, : whole * window], np.float64)
        moving = moving - moving.mean(axis=1, keepdims=True)
        windows = moving.reshape(len(clip), whole, window, -1)
        total[i] = np.square(moving).sum()
        within[i] = np.square(windows - windows.mean(axis=2, keepdims=True)).sum()
    return Ratio(within, total)


def border_step(prediction: Float[np.ndarray, "N K T C"], window: int) -> Ratio:
    """Mean absolute change at window borders by mean absolute change elsewhere: 1 for real listeners."""
    count, _, frames, _ = prediction.shape
    at_border = np.arange(1, frames) % window == 0
    there, elsewhere = np.zeros(count), np.zeros(count)
    for i, clip in enumerate(prediction if at_border.any() and not at_border.all() else prediction[:0]):
        change = np.abs(np.diff(np.asarray(clip, np.float64), axis=1)).mean(axis=(0, 2))
        there[i], elsewhere[i] = change[at_border].mean(), change[~at_border].mean()
    return Ratio(there, elsewhere)


def stillness(
    prediction: Float[np.ndarray, "N K T C"], listener: Float[np.ndarray, "N T C"], neighbours: Bool[np.ndarray, "N N"]
) -> Ratio:
    """Movement where there should be none: root mean square deviation from the mean over time, in coefficients.

    Of the channels in which no appropriate listener of the clip moves at all; clean FRCorr leaves these out, so that
    noise in all of them costs nothing there. 0 for real listeners.
    """
    still = ~(listener.max(axis=1) > listener.min(axis=1))  # N C
    count, reactions = prediction.shape[:2]
    total, counted = np.zeros(count), np.zeros(count)
    for i, row in enumerate(neighbours):
        channels = still[row].all(axis=0)
        if channels.any():
            variance = prediction[i][..., channels].var(axis=1, dtype=np.float64)  # K, still channels
            total[i], counted[i] = np.sqrt(variance.mean(axis=1)).sum(), reactions
    return Ratio(total, counted)
