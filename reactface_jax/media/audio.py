"""Sound: the track of any media file as mono samples, and the normalisation that the model expects."""

from pathlib import Path

import av
import numpy as np
import soxr
from av.container import InputContainer
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.media.open_media import open_media
from reactface_jax.types import SAMPLE_RATE


def read_audio(path: str | Path, rate: int = SAMPLE_RATE) -> Float[np.ndarray, " L"]:
    """Reads the sound of a wav, a video or any other media file.

    Channels are averaged; the sampling rate is converted by soxr. A video's sound is aligned with its picture: sample
    0 sounds with the first frame, whatever the tracks' start times.

    Args:
      path: the file.
      rate: samples per second of the result.

    Returns:
      Mono float32 samples in [-1, 1].

    Raises:
      UserError: the file is missing, is not media, has no sound track, or its track is empty or damaged.
    """
    samples = read_audio_or_none(path, rate)
    if samples is None:
        raise UserError(f"{path} has no sound track; give a file with sound")
    return samples


def read_audio_or_none(path: str | Path, rate: int = SAMPLE_RATE) -> Float[np.ndarray, " L"] | None:
    """As `read_audio`, but None for a file that has no sound track."""
    with open_media(path) as container:
        if not container.streams.audio:
            return None
        samples, native_rate, start = _decode(container)
        start -= _picture_start(container)
    if not len(samples):
        raise UserError(f"{path} has an empty sound track; record or convert it again")
    samples = soxr.resample(np.nan_to_num(samples), native_rate, rate)
    offset = round(start * rate)
    samples = np.pad(samples, (offset, 0)) if offset > 0 else samples[-offset:]
    return np.clip(samples, -1.0, 1.0)


def normalise(audio: Float[np.ndarray, " L"]) -> Float[np.ndarray, " L"]:
    """Zero mean, unit variance over the whole file, as wav2vec 2.0 expects it: (x - mean) / sqrt(var + 1e-7)."""
    return ((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)).astype(np.float32)


def _decode(container: InputContainer) -> tuple[Float[np.ndarray, " l"], int, float]:
    """Decodes the first sound track: mono samples at the track's own rate, that rate, and its start (s)."""
    stream = container.streams.audio[0]
    as_float = av.AudioResampler(format="fltp")
    blocks = [np.zeros(0, np.float32)]
    start: float | None = None
    for frame in container.decode(stream):
        if start is None:
            start = frame.time or 0.0
        blocks += [block.to_ndarray().mean(axis=0) for block in as_float.resample(frame)]
    return np.concatenate(blocks), stream.rate, start or 0.0


def _picture_start(container: InputContainer) -> float:
    """When the first video frame is shown (s); 0 for a file without a picture."""
    if not container.streams.video:
        return 0.0
    stream = container.streams.video[0]
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)
