"""A speaker without a browser: a camera, a file or an address, read as if it were live."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.types import SAMPLE_RATE

Picture = UInt8[np.ndarray, "H W 3"]
_LONGER_SIDE = 640
"""Pictures are made smaller than that before a face is sought (pixels)."""


class Source:
    """Pictures and sound by time.

    Args:
      address: `webcam`, `webcam:/dev/video1`, a file, or an address that FFmpeg opens, such as rtsp://host/stream.

    Raises:
      UserError: it can't be opened, or has no pictures.
    """

    def __init__(self, address: str) -> None:
        import av

        self.is_file = "://" not in address and not address.startswith("webcam")
        self._address = address
        try:
            if address.startswith("webcam"):
                device, kind = _camera(address.partition(":")[2])
                self._container = av.open(device, format=kind)
            else:
                self._container = av.open(address, timeout=(10, 10))
        except (OSError, ValueError) as error:
            raise UserError(
                f"--source {address} can't be opened ({getattr(error, 'strerror', None) or error}); "
                "give webcam, a video file or an rtsp:// address"
            ) from error
        if not self._container.streams.video:
            raise UserError(f"--source {address} has no pictures; give a camera or a video")
        self.hears = bool(self._container.streams.audio)

    def __iter__(self) -> Iterator[tuple[float, Picture | Float[np.ndarray, " n"]]]:
        """Time (s) and picture, or time of the first sample and sound at 16 kHz, in the order of the stream."""
        import av

        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        streams = [self._container.streams.video[0], *self._container.streams.audio[:1]]
        try:
            for packet in self._container.demux(streams):
                for frame in packet.decode():
                    if not isinstance(frame, av.VideoFrame | av.AudioFrame) or frame.time is None:
                        continue
                    if isinstance(frame, av.VideoFrame):
                        yield float(frame.time), _small(frame)
                    else:
                        start = float(frame.time)
                        for piece in resampler.resample(frame):
                            yield start, piece.to_ndarray()[0]
                            start += piece.samples / SAMPLE_RATE
        except (OSError, ValueError) as error:  # av's errors are both
            raise UserError(f"--source {self._address} ended early: {error}") from error

    def close(self) -> None:
        """Lets the device go."""
        self._container.close()


def play(
    source: Source,
    on_picture: Callable[[Picture, float], None],
    on_sound: Callable[[Float[np.ndarray, " n"], float], None],
    *,
    real_time: bool,
    wait: Callable[[], None] = lambda: None,
) -> None:
    """Passes a source on.

    Args:
      source: what is played.
      on_picture: takes a picture and its time.
      on_sound: takes sound and the time of its first sample.
      real_time: a file's pieces come at their times by the machine's clock; a camera's do by themselves.
      wait: called after each piece where it is not in real time, to wait for whoever takes it.
    """
    begin: float | None = None
    for moment, content in source:
        if begin is None:
            begin = time.monotonic() - moment
        if source.is_file and real_time and (early := begin + moment - time.monotonic()) > 0:
            time.sleep(early)
        (on_picture if content.ndim == 3 else on_sound)(content, moment)
        if not real_time:
            wait()


def _small(frame: Any) -> Picture:
    scale = min(1.0, _LONGER_SIDE / max(frame.width, frame.height))
    if scale == 1.0:
        return np.asarray(frame.to_ndarray(format="rgb24"))
    size = {"width": round(frame.width * scale), "height": round(frame.height * scale)}
    return np.asarray(frame.reformat(format="rgb24", **size).to_ndarray())


def _camera(device: str) -> tuple[str, str]:
    """Device and FFmpeg's format of a camera of this system."""
    if sys.platform == "darwin":
        return device or "0", "avfoundation"
    if sys.platform == "win32":
        return f"video={device}", "dshow"
    return device or "/dev/video0", "v4l2"
