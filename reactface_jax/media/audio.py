"""Sound: the track of any media file as mono samples."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.media.mono import Mono
from reactface_jax.media.normalisation import normalise as normalise  # public here, see docs/api.md
from reactface_jax.media.open_media import audio_track, open_media
from reactface_jax.media.timeline import Timeline, decode, picture_begins, read_timeline
from reactface_jax.types import SAMPLE_RATE

DRIFT = 0.02
"""Sound whose timestamps are off by less is taken as continuous (s): containers and clocks round."""
_LOUDEST = 4.0
"""What is louder is no overdriven recording."""


def read_audio(path: str | Path, rate: int = SAMPLE_RATE) -> Float[np.ndarray, " L"]:
    """Reads the sound of a wav, a video or any other media file.

    Channels are averaged (see `Mono` for those that cancel each other); the sampling rate is converted by soxr. Blocks
    of samples lie where their timestamps say: a gap is silence, what overlaps is dropped. Sample 0 sounds with the
    first picture that can be shown, whatever the tracks' start times; in a file without a picture it is the first one
    that is heard.

    Args:
      path: the file.
      rate: samples per second of the result.

    Returns:
      Mono float32 samples in [-1, 1].

    Raises:
      UserError: the file is missing, is not media, has no sound track, or its track is empty or damaged.
    """
    timeline = read_timeline(path)
    with open_media(path) as container:
        if audio_track(container) is None:
            raise UserError(f"{path} has no sound track; give a file with sound")
    samples = _read(path, timeline, rate)
    if samples is None:
        raise UserError(f"{path} has an empty sound track; record or convert it again")
    return samples


def read_audio_or_none(path: str | Path, rate: int = SAMPLE_RATE) -> Float[np.ndarray, " L"] | None:
    """As `read_audio`, but None for a file that has no sound track, or one without a sample in it."""
    return _read(path, read_timeline(path), rate)


@dataclass
class _Run:
    """Blocks of samples that follow each other without a gap, at one rate."""

    start: float
    """When the first of them sounds (s)."""
    rate: int
    blocks: list[Float[np.ndarray, " _"]] = field(default_factory=list)
    length: int = 0

    @property
    def end(self) -> float:
        return self.start + self.length / self.rate

    def add(self, block: Float[np.ndarray, " n"]) -> None:
        self.blocks.append(block)
        self.length += len(block)


def _read(path: str | Path, timeline: Timeline, rate: int) -> Float[np.ndarray, " L"] | None:
    with open_media(path) as container:
        stream = audio_track(container)
        runs = [] if stream is None else _runs(container, stream, timeline)
        if runs and stream is not None:
            timeline.check_end(path, stream, runs[-1].end)
    if not runs:
        return None
    begin = picture_begins(path, timeline)
    zero = runs[0].start if begin is None else float(begin)
    starts = [round((run.start - zero) * rate) for run in runs]
    parts = [soxr.resample(np.concatenate(run.blocks), run.rate, rate) for run in runs]
    _check_level(path, parts)
    sound = np.zeros(max(0, *(start + len(part) for start, part in zip(starts, parts, strict=True))), np.float32)
    for start, part in zip(starts, parts, strict=True):
        sound[max(start, 0) : max(start + len(part), 0)] = part[max(-start, 0) :]
    return np.clip(sound, -1.0, 1.0)


def _runs(container: InputContainer, stream: AudioStream, timeline: Timeline) -> list[_Run]:
    """Decodes a sound track to stretches of mono samples that do not overlap."""
    runs: list[_Run] = []
    mono = Mono()
    follows = False  # whether the block before was taken
    for frame in decode(container, stream, timeline, AudioFrame):
        if not runs:
            mono = Mono(frame.sample_rate)
        expected = runs[-1].end if runs else 0.0
        time = expected if frame.time is None else frame.time
        block = mono.mix(channels_of(frame))
        if follows and runs[-1].rate == frame.sample_rate and abs(time - expected) <= DRIFT:
            runs[-1].add(block)
            continue
        late = max(0, round((expected - time) * frame.sample_rate)) if runs else 0
        follows = late < len(block)
        if follows:
            runs.append(_Run(time + late / frame.sample_rate, frame.sample_rate))
            runs[-1].add(block[late:])
    return runs


def channels_of(frame: AudioFrame) -> Float[np.ndarray, "C n"]:
    """Samples in [-1, 1] of any format, a row a channel."""
    samples: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return samples.astype(np.float32)


def _check_level(path: str | Path, parts: list[Float[np.ndarray, " _"]]) -> None:
    """Raises `UserError` for floating-point sound in another unit, which clipping would make noise of."""
    peak = max(float(np.abs(part).max(initial=0)) for part in parts)
    if peak <= _LOUDEST:
        return
    heard = np.concatenate([np.abs(part[part != 0]) for part in parts])
    if (heard > 1).mean() > 0.5:
        raise UserError(f"the samples of {path} go up to {peak:.3g} instead of 1; scale them to [-1, 1]")
