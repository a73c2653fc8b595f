"""A speaker without a browser: a camera with its microphone, a file or an address, read as if it were live."""

import contextlib
import heapq
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.media.mono import Mono
from reactface_jax.online.live_sound import DRIFT
from reactface_jax.types import SAMPLE_RATE

if TYPE_CHECKING:
    from av import AudioResampler
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.packet import Packet

Picture = UInt8[np.ndarray, "H W 3"]
Piece = tuple[float, Picture | Float[np.ndarray, " n"]]
"""Time (s) and picture, or time of the first sample and sound at 16 kHz."""
_LONGER_SIDE = 640
"""Pictures are made smaller than that before a face is sought (pixels)."""
_ALSA = Path("/usr/share/alsa/alsa.conf")
_WAITING = 200
"""Pieces of a camera that wait for whoever takes them."""
_SILENT = 10.0
"""After so long without anything from a camera it has ended (s)."""
_OPTIONS = {"avfoundation": {"framerate": "30"}}
"""FFmpeg's options by format: its default of 29.97 pictures a second is refused by cameras of Macs."""


class Device(NamedTuple):
    """What FFmpeg opens."""

    name: str
    format: str


class Source:
    """Pictures and sound by time.

    Args:
      address: `webcam`, `webcam:/dev/video1`, `webcam:/dev/video1,MICROPHONE`, a file, or an address that FFmpeg opens,
        such as rtsp://host/stream.
      clock: this machine's (s), on which camera and microphone come together.

    Raises:
      UserError: it can't be opened, or has no pictures.
    """

    def __init__(self, address: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._containers: list[InputContainer] = []
        self._readers: list[threading.Thread] = []
        self._ended = threading.Event()
        self._file: Path | None = None
        self.is_file = False
        """Whether it comes as fast as it is taken: from this disk, or an address that says how long it lasts."""
        self.hears = True
        self.why_deaf = f"{address} has no sound"
        """For people, where it does not hear."""
        if address.split(":")[0] == "webcam":
            self._open_camera(*devices(address.partition(":")[2]))
        elif address.startswith("file://"):
            self._open_file(Path(url2pathname(urlsplit(address).path)))
        elif "://" in address:
            self._containers.append(_open(address, Device(address, "")))
            self._need_pictures(self._containers[0])
            self.hears = bool(self._containers[0].streams.audio)
            self.is_file = (self._containers[0].duration or 0) > 0
        else:
            self._open_file(Path(address))

    def __iter__(self) -> Iterator[Piece]:
        """Pieces in the order of their times; of a camera in that of their coming."""
        from av.error import FFmpegError

        try:
            if self._file is not None:
                yield from self._pieces_of_file(self._file)
            elif len(self._containers) == 1:
                yield from _pieces(self._containers[0])
            else:
                yield from self._pieces_as_they_come()
        except (FFmpegError, OSError, ValueError) as error:
            raise UserError(f"--source {self._address} ended early: {error}") from error

    def close(self) -> None:
        """Lets the devices go."""
        self._ended.set()
        for reader in self._readers:
            reader.join(timeout=5)
        if not any(reader.is_alive() for reader in self._readers):  # nobody may read what is closed
            for container in self._containers:
                container.close()

    def _open_file(self, path: Path) -> None:
        from reactface_jax.media.open_media import audio_track, needed_video_track, open_media
        from reactface_jax.media.timeline import read_timeline

        self._file, self.is_file = path, True
        self._timeline = read_timeline(path)
        with open_media(path) as container:
            needed_video_track(container, path)
            self.hears = audio_track(container) is not None

    def _open_camera(self, camera: Device, microphone: Device | None) -> None:
        try:
            self._containers.append(_open(self._address, camera))
        except UserError as error:
            if camera.format != "avfoundation":
                raise
            # It opens both together or neither.
            name, _, heard = camera.name.partition(":")
            self._containers.append(_open(self._address, camera._replace(name=f"{name}:none")))
            self.why_deaf = f"the microphone {heard} can't be opened ({error.__cause__})"
        self._need_pictures(self._containers[0])
        self.hears = bool(self._containers[0].streams.audio)
        if microphone is None:
            return
        try:
            self._containers.append(_open(self._address, microphone))
            self.hears = bool(self._containers[1].streams.audio)
        except UserError as error:
            self.why_deaf = f"the microphone {microphone.name} can't be opened ({error.__cause__})"
        if not self.hears:
            del self._containers[1:]

    def _need_pictures(self, container: "InputContainer") -> None:
        if not container.streams.video:
            self.close()
            raise UserError(f"--source {self._address} has no pictures; give a camera or a video")

    def _pieces_of_file(self, path: Path) -> Iterator[Piece]:
        """Both tracks on one clock that never jumps (`media.timeline`)."""
        from av.audio.frame import AudioFrame
        from av.video.frame import VideoFrame

        from reactface_jax.media.displayed import displayed
        from reactface_jax.media.open_media import audio_track, needed_video_track, open_media
        from reactface_jax.media.timeline import decode, time_of

        def pictures() -> Iterator[Piece]:
            with open_media(path) as container:
                stream = needed_video_track(container, path)
                aspect, shown = stream.sample_aspect_ratio, Fraction(0)
                for frame in decode(container, stream, self._timeline, VideoFrame):
                    shown = time_of(frame, shown + Fraction(1, 25))
                    yield float(shown), _small(displayed(frame, aspect))

        def sound() -> Iterator[Piece]:
            with open_media(path) as container:
                if (stream := audio_track(container)) is not None:
                    heard = _Sound()
                    for frame in decode(container, stream, self._timeline, AudioFrame):
                        yield from heard.pieces(frame)
                    yield from heard.rest()

        return heapq.merge(pictures(), sound(), key=itemgetter(0))

    def _pieces_as_they_come(self) -> Iterator[Piece]:
        """Of camera and microphone, whose clocks differ: by this machine's clock, on which each came earliest."""
        waiting: queue.Queue[Piece | Exception | None] = queue.Queue(_WAITING)

        def put(piece: Piece | Exception | None) -> None:
            while not self._ended.is_set():
                with contextlib.suppress(queue.Full):
                    return waiting.put(piece, timeout=0.2)

        def read(container: "InputContainer") -> None:
            ahead = np.inf
            try:
                for moment, content in _pieces(container):
                    length = 0.0 if content.ndim == 3 else len(content) / SAMPLE_RATE
                    ahead = min(ahead, self._clock() - length - moment)
                    put((moment + ahead, content))
                    if self._ended.is_set():
                        return
            except Exception as error:
                put(error)
            put(None)

        self._readers = [
            threading.Thread(target=read, args=(container,), daemon=True) for container in self._containers
        ]
        for reader in self._readers:
            reader.start()
        for _ in self._containers:
            while (piece := waiting.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece


def play(
    source: Source,
    on_picture: Callable[[Picture, float], None],
    on_sound: Callable[[Float[np.ndarray, " n"], float], None],
    *,
    real_time: bool,
    wait: Callable[[], None] = lambda: None,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Passes a source on.

    Args:
      source: what is played.
      on_picture: takes a picture and its time.
      on_sound: takes sound and the time of its first sample.
      real_time: a file's pieces come at their times by the machine's clock; a camera's do by themselves.
      wait: called after each piece where it is not in real time, to wait for whoever takes it.
      ended: asked before each piece, whether nobody takes any more.
    """
    begin: float | None = None
    for moment, content in source:
        if ended():
            return
        if begin is None:
            begin = time.monotonic() - moment
        if source.is_file and real_time and (early := begin + moment - time.monotonic()) > 0:
            time.sleep(early)
        (on_picture if content.ndim == 3 else on_sound)(content, moment)
        if not real_time:
            wait()


def devices(chosen: str) -> tuple[Device, Device | None]:
    """Camera and microphone of this system, as FFmpeg calls them; the microphone may be the camera's own.

    Args:
      chosen: CAMERA or CAMERA,MICROPHONE as this system calls them; the usual ones for what is empty.
    """
    camera, _, microphone = chosen.partition(",")
    if sys.platform == "darwin":
        return Device(f"{camera or '0'}:{microphone or '0'}", "avfoundation"), None
    if sys.platform == "win32":  # devices have no usual one there
        sound = f":audio={microphone}" if microphone else ""
        return Device(f"video={camera}{sound}", "dshow"), None
    if _ALSA.is_file():  # PyAV's own library looks where it was built
        os.environ.setdefault("ALSA_CONFIG_PATH", str(_ALSA))
    return Device(camera or "/dev/video0", "v4l2"), Device(microphone or "default", "alsa")


def _open(address: str, device: Device) -> "InputContainer":
    import av
    from av.error import FFmpegError

    try:
        if device.format:
            return av.open(device.name, format=device.format, options=_OPTIONS.get(device.format, {}))
        return av.open(device.name, timeout=(10, 10))
    except (FFmpegError, OSError, ValueError) as error:
        raise UserError(
            f"--source {address} can't be opened ({getattr(error, 'strerror', None) or error}); "
            "give webcam, a video file or an rtsp:// address"
        ) from error


def _pieces(container: "InputContainer") -> Iterator[Piece]:
    """Of what comes by itself, in its order."""
    import av

    from reactface_jax.media.displayed import displayed

    heard = _Sound()
    aspect = container.streams.video[0].sample_aspect_ratio if container.streams.video else None
    for packet in _packets(container):
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame) and frame.time is not None:
                yield float(frame.time), _small(displayed(frame, aspect))
            elif isinstance(frame, av.AudioFrame) and frame.time is not None:
                yield from heard.pieces(frame)
    yield from heard.rest()


def _packets(container: "InputContainer") -> "Iterator[Packet]":
    """Of the first tracks, as they come: some devices say that there is none yet instead of waiting for it."""
    newest = time.monotonic()
    while True:
        try:
            for packet in container.demux([*container.streams.video[:1], *container.streams.audio[:1]]):
                yield packet
                newest = time.monotonic()
            return
        except BlockingIOError:
            if time.monotonic() - newest > _SILENT:
                raise
            time.sleep(5e-3)


class _Sound:
    """Brings a track to mono at 16 kHz, each stretch without a gap and of one rate by a converter of its own.

    FFmpeg's: it holds a millisecond back, soxr's up to 40, for which a microphone would be late.
    """

    def __init__(self) -> None:
        self._mono: Mono | None = None
        self._resampler: AudioResampler | None = None
        self._rate = 0
        self._expected = self._next = 0.0  # times of the next sample that comes, and that is given

    def pieces(self, frame: "AudioFrame") -> Iterator[Piece]:
        """The next samples, with what was held back before."""
        import av

        from reactface_jax.media.audio import channels_of

        self._mono = self._mono or Mono(frame.sample_rate)
        samples = self._mono.mix(channels_of(frame))
        moment = self._expected if frame.time is None else float(frame.time)
        if frame.sample_rate != self._rate or abs(moment - self._expected) > DRIFT:
            yield from self.rest()
            self._resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
            self._rate, self._expected, self._next = frame.sample_rate, moment, moment
        mixed = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        mixed.sample_rate = self._rate
        self._expected += len(samples) / self._rate
        yield from self._converted(mixed)

    def rest(self) -> Iterator[Piece]:
        """What is held back at the end."""
        yield from self._converted(None)

    def _converted(self, frame: "AudioFrame | None") -> Iterator[Piece]:
        for piece in self._resampler.resample(frame) if self._resampler else ():
            if piece is not None:  # at the end, where there was nothing to convert
                yield self._next, piece.to_ndarray()[0]
                self._next += piece.samples / SAMPLE_RATE


def _small(picture: Picture) -> UInt8[np.ndarray, "h w 3"]:
    from reactface_jax.media.video import resize

    height, width = picture.shape[:2]
    scale = _LONGER_SIDE / max(height, width)
    return picture if scale >= 1 else resize(picture, (round(height * scale), round(width * scale)))
