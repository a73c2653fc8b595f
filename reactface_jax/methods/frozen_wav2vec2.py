"""Features of frozen wav2vec 2.0, for methods that compare voices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.config import AudioConfig
from reactface_jax.errors import UserError
from reactface_jax.models.precision import exact_products
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder
from reactface_jax.types import AnyArray
from reactface_jax.weights.params_file import load_params

Embedding = Callable[[Float[AnyArray, "N L"]], Float[np.ndarray, "N S E"]]
_AT_ONCE = 16


def frozen_wav2vec2(folder: Path) -> Embedding:
    """From voices, 16 kHz and normalised, to their features.

    Args:
      folder: what `reactface convert wav2vec2` wrote.

    Raises:
      UserError: the folder holds something else.
    """
    params, values = load_params(folder)
    if "audio" not in values:
        raise UserError(f"{folder} holds no wav2vec 2.0; convert one with `reactface convert wav2vec2`")
    encoder: Any = Wav2Vec2Encoder(AudioConfig(**values["audio"]))

    @jax.jit
    def encode(voices: Float[AnyArray, "N L"]) -> Float[Array, "N S E"]:
        with exact_products():
            return encoder.apply({"params": params}, voices)

    def features(voices: Float[AnyArray, "N L"]) -> Float[np.ndarray, "N S E"]:
        parts = []
        for start in range(0, len(voices), _AT_ONCE):
            part = np.asarray(voices[start : start + _AT_ONCE], np.float32)
            padded = np.pad(part, [(0, _AT_ONCE - len(part)), (0, 0)])  # one program for all
            parts.append(np.asarray(encode(padded))[: len(part)])
        return np.concatenate(parts)

    return features
