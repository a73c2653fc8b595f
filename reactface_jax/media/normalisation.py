"""The normalisation of sound that wav2vec 2.0 expects; apart from audio.py, which needs the extra `render`."""

import numpy as np
from jaxtyping import Float


def normalise(audio: Float[np.ndarray, " L"]) -> Float[np.ndarray, " L"]:
    """Zero mean, unit variance over the whole file, as wav2vec 2.0 expects it: (x - mean) / sqrt(var + 1e-7)."""
    return ((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)).astype(np.float32)
