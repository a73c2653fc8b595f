"""The real people of a clip as one small video: the speaker, beside him the listener, with the speaker's voice."""

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from reactface_jax.media.video import VideoWriter, resize
from reactface_jax.types import SAMPLES_PER_FRAME

SIDE = 240
"""Height and width of each person, pixels."""
_QUALITY = 27  # crf: about 0.3 Mbit/s


def record(
    speaker: Iterable[UInt8[np.ndarray, "H W 3"]],
    listener: Iterable[UInt8[np.ndarray, "H W 3"]],
    voice: Int[np.ndarray, " L"],
    num_frames: int,
) -> bytes:
    """An mp4 (H.264, AAC) of the first `num_frames` frames at 25 fps.

    Args:
      speaker: his frames.
      listener: as many of the listener.
      voice: the speaker's, int16 at 16 kHz.
      num_frames: T; both have at least as many.
    """
    sound = voice[: num_frames * SAMPLES_PER_FRAME].astype(np.float32) / 32768
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, size=(SIDE, 2 * SIDE), audio=sound, crf=_QUALITY, preset="slow") as writer:
            for pair in itertools.islice(zip(speaker, listener, strict=False), num_frames):
                writer.write(np.concatenate([resize(np.asarray(frame), (SIDE, SIDE)) for frame in pair], axis=1))
        return path.read_bytes()
