"""FRCorr while the listener listens: what it does while it talks itself is no reaction.

More than half of the FRCorr of a model that does not react can be its own talk: a mouth that opens when the speaker is
silent already scores.
"""

import numpy as np
from jaxtyping import Bool, Float

from reactface_jax.metrics.correlation import best_concordance, moments

LEAST_FRAMES = 25
"""Clips in which the listener listens for less are left out: a CCC of fewer frames is noise."""


def while_listening(
    prediction: Float[np.ndarray, "N K T C"],
    listener: Float[np.ndarray, "N T C"],
    neighbours: Bool[np.ndarray, "N N"],
    listening: Bool[np.ndarray, "N T"],
) -> Float[np.ndarray, "N K"]:
    """The highest channel-averaged CCC with an appropriate reaction over a clip's listening frames, in clean mode.

    The same frames are taken of the clip's reactions and of every appropriate one. NaN for clips that are left out.

    Args:
        prediction: K reactions to each of N clips.
        listener: the real listeners.
        neighbours: row i marks the appropriate reactions to speaker i.
        listening: in which frames the clip's listener listens.
    """
    found = np.full(prediction.shape[:2], np.nan)
    for i, frames in enumerate(listening):
        if frames.sum() >= LEAST_FRAMES:
            appropriate = moments(listener[neighbours[i]][:, frames])
            everyone = np.ones((1, int(neighbours[i].sum())), bool)
            found[i] = best_concordance(prediction[i : i + 1, :, frames], appropriate, everyone).varying_channels[0]
    return found
