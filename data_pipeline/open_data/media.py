"""Stretches of a video's pictures and of its sound, on one clock: the timestamps', whatever rate a header promises.

Second 0 is the first picture of a video, and the first sample of a sound of its own. A frame of the result at second s
is the last picture at or before s + 20 ms, half a frame: so what is seen changes within 20 ms of when it did, early as
often as late, however long a recording is. A picture's number times a rounded rate is used nowhere.

A frame's time is that of `reactface_jax.media.timeline`, and the rule by which frames are taken `media.at_rate`'s, as
for all media. But a stretch of an hour can't wait until all its packets were read, by which a timeline finds where a
clock was set anew: formats in which it may be are refused. The data sets come in others (mp4, avi, wav). Pictures of an
avi have the times that `reactface_jax.media.avi` says.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.container
import av.error
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import Float

from data_pipeline.open_data.members import Member
from reactface_jax.errors import UserError
from reactface_jax.media.at_rate import Shown, at_rate
from reactface_jax.media.audio import channels_of
from reactface_jax.media.avi import AviClock, is_avi
from reactface_jax.media.open_media import audio_track, video_track
from reactface_jax.media.picture import Picture
from reactface_jax.media.timeline import may_jump, time_of
from reactface_jax.media.video import duration_of
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE

_EDGE = 0.1
"""Sound around a stretch that the resampling's filter sees (s)."""
_EARLY = Fraction(1, 2 * FRAME_RATE) - Fraction(1, 1_000_000)
"""How much before its time a picture may be shown (s); at 50 a second every second one is, without a doubt which."""
_LEADING = Fraction(1)
"""How long before a stretch an avi is read (s). Pictures after a keyframe in the file may be shown before it: they need
the keyframe before that."""


@dataclass(frozen=True)
class Film:
    """What a video's index says."""

    num_pictures: int
    seconds: float
    rate: Fraction
    """Pictures a second, measured: their number over the time that they take."""


@contextlib.contextmanager
def opened(media: Member) -> Iterator[InputContainer]:
    """Opens a video or sound where it lies; what FFmpeg says of damage becomes a `UserError`."""
    with media.open() as file:
        try:
            container = av.open(file, "r", metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise UserError(f"{media} ({media.size} bytes) is no video or sound; download it again") from error
        with container:
            if may_jump(container):
                raise UserError(
                    f"{media} is a recorded broadcast or stream, whose clock may jump; convert it to mp4 or wav"
                )
            try:
                yield container
            except av.error.FFmpegError as error:
                raise UserError(f"{media} is damaged ({error.strerror}); download it again") from error


def look_at(video: Member) -> Film:
    """Reads a video's index. Raises `UserError` where there is no picture."""
    with opened(video) as container:
        stream = _pictures_of(container, video)
        if stream.frames and stream.duration and stream.time_base:
            seconds = stream.duration * stream.time_base
            return Film(stream.frames, float(seconds), stream.frames / seconds)
        times = sorted(
            packet.pts * packet.time_base
            for packet in container.demux(stream)
            if packet.pts is not None and packet.time_base
        )
        if len(times) < 2 or times[-1] == times[0]:
            raise UserError(f"{video} has {len(times)} pictures; download it again")
        rate = (len(times) - 1) / Fraction(times[-1] - times[0])
        return Film(len(times), float(len(times) / rate), rate)


def pictures(video: Member, start: float, num_frames: int) -> Iterator[Picture]:
    """A stretch of a video at 25 frames a second; fewer frames where it ends before. One that stays comes again.

    Args:
      video: the file.
      start: from which second on.
      num_frames: how many frames.

    Raises:
      UserError: it can't be decoded, or has no timestamps.
    """
    with opened(video) as container:
        stream = _pictures_of(container, video)
        stream.thread_type = "AUTO"
        base = stream.time_base or Fraction(1, 90_000)
        zero = (stream.start_time or 0) * base
        avi = AviClock() if is_avi(container) else None
        if start > 0:
            seek_to = Fraction(start)
            if avi is not None:
                next(_decoded(container, stream, avi), None)
                avi.jump()
                seek_to = max(Fraction(0), seek_to - _LEADING)
            container.seek(int((zero + seek_to) / base), stream=stream)
        shown = at_rate(_shown(container, stream, video, zero, avi), Fraction(FRAME_RATE), Fraction(start))
        yield from itertools.islice(shown, num_frames)


def _decoded(container: InputContainer, stream: VideoStream, avi: AviClock | None) -> Iterator[VideoFrame]:
    """Pictures from here on, with their times; `avi`: the clock of one."""
    for packet in container.demux(stream):
        if avi is not None:
            avi.enter(packet)
        for frame in packet.decode():
            assert isinstance(frame, VideoFrame)
            if avi is not None:
                avi.leave(frame)
            yield frame


def _shown(
    container: InputContainer, stream: VideoStream, video: Member, zero: Fraction, avi: AviClock | None
) -> Iterator[Shown[Picture]]:
    aspect, converter, size = stream.sample_aspect_ratio, VideoReformatter(), None
    for frame in _decoded(container, stream, avi):  # from a keyframe on, so what can't be decoded is damage
        if frame.pts is None:
            raise UserError(f"{video} has a picture without a time; convert it again")
        time = time_of(frame, zero) - zero
        picture = Picture(frame, float(time), aspect, size, converter)
        size = size or picture.shape
        yield Shown(picture, time, time + duration_of(frame, stream), _EARLY)


def sound(media: Member, start: float, num_samples: int, channel: int | None = None) -> Float[np.ndarray, " L"]:
    """A stretch of a sound track, 16 kHz, in [-1, 1]; silence where there is none.

    Args:
      media: the file.
      start: from which second on; of a video's own sound, from its first picture.
      num_samples: how many samples of the result.
      channel: the one to take; None: their mean.

    Raises:
      UserError: it can't be decoded, or has no sound, or not that channel.
    """
    with opened(media) as container:
        stream = _sound_of(container, media)
        rate, film = stream.codec_context.sample_rate, video_track(container)
        begins = film if film is not None else stream
        zero = (begins.start_time or 0) * (begins.time_base or Fraction(1))
        first = start - _EDGE
        samples = np.zeros(round((num_samples / SAMPLE_RATE + 2 * _EDGE) * rate), np.float32)
        if first > 0 and stream.time_base:
            container.seek(int((zero + Fraction(first)) / stream.time_base), stream=stream)
        for time, block in _blocks(container, stream, media, channel):
            at = round((time - float(zero) - first) * rate)
            if at >= len(samples):
                break
            part = block[max(0, -at) : len(samples) - at]
            samples[max(0, at) : max(0, at) + len(part)] = part
    edge = round(_EDGE * SAMPLE_RATE)
    resampled = soxr.resample(samples, rate, SAMPLE_RATE)[edge : edge + num_samples]
    return np.clip(np.pad(resampled, (0, num_samples - len(resampled))), -1, 1).astype(np.float32)


def levels(media: Member, channel: int | None = None) -> Float[np.ndarray, " T"]:
    """Root mean square of a sound for each 25th of a second, to its end. Raises as `sound`."""
    with opened(media) as container:
        stream = _sound_of(container, media)
        rate = stream.codec_context.sample_rate
        film = video_track(container)
        begins = film if film is not None else stream
        zero = float((begins.start_time or 0) * (begins.time_base or Fraction(1)))
        sums, counts = np.zeros(1), np.zeros(1)
        for time, block in _blocks(container, stream, media, channel):
            bins = np.floor(((time - zero) + np.arange(len(block)) / rate) * FRAME_RATE + 1e-6).astype(np.int64)
            kept = bins >= 0
            if kept.any():
                need = int(bins[-1]) + 1
                if need > len(sums):
                    sums, counts = (np.pad(array, (0, 2 * need - len(array))) for array in (sums, counts))
                low = int(bins[kept][0])
                square = np.bincount(bins[kept] - low, np.square(block[kept], dtype=np.float64))
                sums[low : low + len(square)] += square
                counts[low : low + len(square)] += np.bincount(bins[kept] - low)
    length = int(np.flatnonzero(counts).max(initial=-1)) + 1
    if not length:
        raise UserError(f"{media} ({media.size} bytes) has no sound; download it again")
    return np.sqrt(sums[:length] / np.maximum(counts[:length], 1)).astype(np.float32)


def _blocks(
    container: InputContainer, stream: AudioStream, media: Member, channel: int | None
) -> Iterator[tuple[float, Float[np.ndarray, " n"]]]:
    """Time (s) and samples of each block of a sound track."""
    frame: AudioFrame
    for frame in container.decode(stream):
        channels = channels_of(frame)
        if channel is not None and channel >= len(channels):
            raise UserError(f"{media} has {len(channels)} channel(s) of sound, not one a person; download it again")
        yield float(time_of(frame, Fraction(0))), channels.mean(axis=0) if channel is None else channels[channel]


def _pictures_of(container: InputContainer, video: Member) -> VideoStream:
    stream = video_track(container)
    if stream is None:
        raise UserError(f"{video} has no video track; download it again")
    return stream


def _sound_of(container: InputContainer, media: Member) -> AudioStream:
    stream = audio_track(container)
    if stream is None:
        raise UserError(f"{media} has no sound track; download it again")
    return stream
