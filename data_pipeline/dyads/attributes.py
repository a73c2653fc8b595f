"""The 25 attributes of REACT2023 (action units, valence, arousal, expressions), read off the coefficients."""

import numpy as np
from jaxtyping import Float

from data_pipeline.dyads.channels import channels

# Action unit: the channel that shows it, and from which weight on.
ACTION_UNITS = {
    "AU1": ("browInnerUp", 0.25),
    "AU2": ("browOuterUp", 0.25),
    "AU4": ("browDown", 0.25),
    "AU6": ("cheekSquint", 0.2),
    "AU7": ("eyeSquint", 0.2),
    "AU9": ("noseSneer", 0.15),
    "AU10": ("mouthUpperUp", 0.12),
    "AU12": ("mouthSmile", 0.25),
    "AU14": ("mouthDimple", 0.15),
    "AU15": ("mouthFrown", 0.2),
    "AU17": ("mouthShrugLower", 0.1),
    "AU23": ("mouthPress", 0.15),
    "AU24": ("mouthPress", 0.22),
    "AU25": ("jawOpen", 0.1),
    "AU26": ("jawOpen", 0.35),
}
EXPRESSIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt")
HEADER = (*ACTION_UNITS, "valence", "arousal", *EXPRESSIONS)


def attributes(coefficients: Float[np.ndarray, "T 58"]) -> Float[np.ndarray, "T 25"]:
    """15 action units (0 or 1), valence and arousal in [-1, 1], and 8 probabilities that sum to 1."""

    def track(name: str) -> Float[np.ndarray, " T"]:
        return coefficients[:, channels(name)].mean(axis=1).astype(np.float64)

    units = [track(name) > threshold for name, threshold in ACTION_UNITS.values()]
    smile, brow, frown, jaw = (track(name) for name in ("mouthSmile", "browInnerUp", "browDown", "jawOpen"))
    valence = 0.05 + 0.85 * smile - 0.8 * frown
    arousal = 0.05 + 0.4 * brow + 0.3 * smile + 0.3 * frown + 0.2 * jaw
    mouth_frown, sneer, dimple = (track(name) for name in ("mouthFrown", "noseSneer", "mouthDimple"))
    evidence = (1.5, 5 * smile, 3 * mouth_frown, 5 * brow, 2 * brow * frown, 3 * sneer, 4 * frown, 2 * dimple - 1)
    logits = np.stack([np.broadcast_to(value, smile.shape) for value in evidence], axis=1)
    odds = np.exp(logits)
    affect = np.clip(np.stack([valence, arousal], axis=1), -1, 1)
    return np.concatenate([np.stack(units, axis=1), affect, odds / odds.sum(axis=1, keepdims=True)], axis=1)
