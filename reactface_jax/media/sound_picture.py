"""Pictures for a sound without a picture: how loud it was in the last seconds."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME

SECONDS = 2
"""That a picture shows; the newest bar is on the right."""
_SIDE = 256
_GROUND, _BAR, _LINE = (28, 31, 36), (116, 185, 222), (70, 78, 88)
_FLOOR = -45.0
"""Decibels below the loudest frame at which a bar has no height."""


def loudness_pictures(sound: Float[np.ndarray, " L"], num_frames: int) -> Iterator[UInt8[np.ndarray, "256 256 3"]]:
    """A picture a frame: a bar for the loudness of each of the last frames, relative to the loudest one of the sound.

    Args:
      sound: 16 kHz, at least 640 samples a frame.
      num_frames: T.
    """
    frames = sound[: num_frames * SAMPLES_PER_FRAME].reshape(num_frames, SAMPLES_PER_FRAME).astype(np.float64)
    energy = np.square(frames).mean(1)
    decibels = 10 * np.log10(np.maximum(energy, 1e-12) / max(energy.max(initial=0), 1e-12))
    heights = np.clip(1 - decibels / _FLOOR, 0, 1) * (energy > 1e-12)
    count = SECONDS * FRAME_RATE
    width = _SIDE // count
    left = (_SIDE - count * width) // 2
    padded = np.concatenate([np.zeros(count - 1), heights])
    for frame in range(num_frames):
        picture = np.full((_SIDE, _SIDE, 3), _GROUND, np.uint8)
        picture[_SIDE // 2, left:-left] = _LINE
        for bar, height in enumerate(padded[frame : frame + count]):
            half = round(0.35 * _SIDE * height)
            if half:
                start = left + bar * width
                picture[_SIDE // 2 - half : _SIDE // 2 + half, start : start + width - 2] = _BAR
        yield picture
