"""Video files: frames in at a constant rate, frames out as H.264 with sound."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name
from reactface_jax.media.at_rate import Shown, at_rate
from reactface_jax.media.open_media import address, needed_video_track, open_media
from reactface_jax.media.picture import Picture
from reactface_jax.media.timeline import Timeline, decode, read_timeline, time_of
from reactface_jax.output_files import check_folder_of
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE

FrameRate = int | float | Fraction
"""Frames per second."""
_ANIMATIONS = ("gif", "apng")
"""Formats of photos that may hold a film."""


def iterate_video(path: str | Path, frame_rate: FrameRate = FRAME_RATE) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Yields a video's frames at a constant rate, RGB, upright, with square pixels, one at a time.

    Any frame rate, also a variable one, is resampled by timestamps: the output frame at time i / frame_rate after the
    first frame is the last frame shown at or before it. Nothing is blended, no frame comes early, one that is older
    than the last is dropped, and the length stays that of the video to within one frame. What a file says of how to
    show its pictures is applied (`media.displayed`); if their size changes midway, all get the first one's. Where a
    clock was set anew midway, see `media.timeline`.

    Raises:
      UserError: the file is missing, is not a video, has no video track or no frame, or is cut off or damaged.
    """
    rate = Fraction(frame_rate).limit_denominator(100_000)
    timeline = read_timeline(path)
    with open_media(path) as container:
        stream = needed_video_track(container, path)
        stream.thread_type = "AUTO"
        for picture in at_rate(_shown(path, container, stream, timeline), rate):
            yield picture.rgb


def _shown(
    path: str | Path, container: InputContainer, stream: VideoStream, timeline: Timeline
) -> Iterator[Shown[Picture]]:
    """All pictures of a video. Raises `UserError` where there is none, it is a photo's, or the file is cut off."""
    aspect, converter, size = stream.sample_aspect_ratio, VideoReformatter(), None
    end, decoded = Fraction(0), 0
    for frame in decode(container, stream, timeline, VideoFrame):
        decoded += 1
        time = time_of(frame, end)
        end = time + duration_of(frame, stream)
        picture = Picture(frame, float(time), aspect, size, converter)
        size = size or picture.shape
        # Containers round timestamps to ticks, so a frame may seem late by up to half a tick.
        yield Shown(picture, time, end, min(_time_base(frame, stream) / 2, Fraction(1, 1000)))
    if not decoded:
        raise UserError(f"{path} has no frame that can be decoded; copy or convert it again")
    timeline.check_end(path, stream, end)
    if decoded == 1 and container.format.name in _ANIMATIONS:
        raise UserError(f"{path} is a photo; give a video")


def expected_frames(path: str | Path, frame_rate: FrameRate = FRAME_RATE) -> int | None:
    """About how many frames `iterate_video` will give, by the file's header; None if that does not say."""
    with open_media(path) as container:
        seconds = None if container.duration is None else container.duration / av.time_base
    return None if seconds is None else round(seconds * float(frame_rate))


def read_video(
    path: str | Path, *, frame_rate: FrameRate = FRAME_RATE, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "T H W 3"]:
    """Reads a whole video into memory, RGB, upright.

    Args:
      path: any video that FFmpeg decodes.
      frame_rate: frames per second of the result; see `iterate_video` for the resampling.
      size: (height, width) to resize to, without keeping the aspect; None keeps the video's own.

    Raises:
      UserError: as `iterate_video`.
    """
    return np.stack([frame if size is None else resize(frame, size) for frame in iterate_video(path, frame_rate)])


def resize(frame: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Resizes a picture to (height, width), averaging over area where it shrinks."""
    if frame.shape[:2] == tuple(size):
        return frame
    height, width = size
    shrinks = height <= frame.shape[0] and width <= frame.shape[1]
    source = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    scaled = source.reformat(width=width, height=height, interpolation="AREA" if shrinks else "BICUBIC")
    return scaled.to_ndarray(format="rgb24")


class VideoWriter:
    """Writes an mp4 that browsers play: H.264, yuv420p, index at the front, optional AAC sound.

    A context manager. Frames go to a file beside `path` that is renamed on a clean exit and removed on an exception,
    so that `path` is never half a video.

    Args:
      path: the .mp4 to write; its folder must exist.
      size: (height, width) of every frame, both even.
      frame_rate: frames per second.
      audio: mono sound in [-1, 1] that starts with the first frame; cut where the frames end. None: no sound track.
      audio_rate: samples per second of `audio`.
      crf: constant rate factor of libx264, 0 (lossless) to 51; 20 looks clean.
      preset: libx264's speed against size.

    Raises:
      UserError: the folder is missing or can't be written to, or the size is odd.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: tuple[int, int],
        frame_rate: FrameRate = FRAME_RATE,
        audio: Float[np.ndarray, " L"] | None = None,
        audio_rate: int = SAMPLE_RATE,
        crf: int = 20,
        preset: str = "veryfast",
    ) -> None:
        self.path = Path(path)
        self.size = (int(size[0]), int(size[1]))
        self.frame_rate = Fraction(frame_rate).limit_denominator(100_000)
        self.audio = audio
        self.audio_rate = audio_rate
        self.crf = crf
        self.preset = preset
        if self.size[0] % 2 or self.size[1] % 2:
            raise UserError(f"{path}: H.264 needs an even height and width, not {self.size[0]}x{self.size[1]}")
        check_folder_of(self.path)
        self._aside = aside_name(self.path)
        self._frames = 0
        self._samples = 0
        self._container: OutputContainer
        self._video: VideoStream
        self._sound: AudioStream | None = None

    def __enter__(self) -> "VideoWriter":
        try:
            self._container = av.open(address(self._aside), "w", format="mp4", options={"movflags": "faststart"})
        except OSError as error:
            raise UserError(f"{self.path} can't be written: {error.strerror}") from error
        options = {"crf": str(self.crf), "preset": self.preset}
        self._video = self._container.add_stream("libx264", rate=self.frame_rate, options=options)
        self._video.height, self._video.width = self.size
        self._video.pix_fmt = "yuv420p"
        # Players guess an untagged matrix from the height; swscale converts with BT.601, so say so.
        self._video.codec_context.colorspace = 6
        if self.audio is not None:
            self._sound = self._container.add_stream("aac", rate=self.audio_rate, layout="mono")
        return self

    def write(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Appends one RGB frame."""
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise ValueError(f"expected a uint8 frame of shape {(*self.size, 3)}, got {frame.dtype} {frame.shape}")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self._frames
        picture.time_base = 1 / self.frame_rate
        self._container.mux(self._video.encode(picture))
        self._frames += 1
        self._write_sound(int(self._frames / self.frame_rate * self.audio_rate))

    def _write_sound(self, until: int) -> None:
        """Encodes the sound's samples up to `until`, so that both tracks lie interleaved in the file."""
        if self._sound is None or self.audio is None:
            return
        samples = np.clip(self.audio[self._samples : until], -1.0, 1.0).astype(np.float32)
        if not len(samples):
            return
        block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        block.sample_rate = self.audio_rate
        block.pts = self._samples
        block.time_base = Fraction(1, self.audio_rate)
        self._container.mux(self._sound.encode(block))
        self._samples += len(samples)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._frames == 0:
                raise ValueError(f"no frame was written to {self.path}")
            if kind is None:
                self._container.mux(self._video.encode(None))
                if self._sound is not None:
                    self._container.mux(self._sound.encode(None))
                self._container.close()
                self._aside.replace(self.path)
        finally:
            with contextlib.suppress(av.error.FFmpegError):  # on a full disk; the first error is on its way
                self._container.close()
            self._aside.unlink(missing_ok=True)


def _time_base(frame: VideoFrame, stream: VideoStream) -> Fraction:
    return frame.time_base or stream.time_base or Fraction(1, 1000)


def duration_of(frame: VideoFrame, stream: VideoStream) -> Fraction:
    """How long a frame is shown (s), if it is the last."""
    if frame.duration:
        return frame.duration * _time_base(frame, stream)
    rate = stream.average_rate or stream.guessed_rate
    return 1 / Fraction(rate) if rate else Fraction(1, FRAME_RATE)
