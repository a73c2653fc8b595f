"""Who is listened to without a browser: files on one clock, camera and microphone on this machine's."""

import contextlib
import errno
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.live import source as module
from reactface_jax.live.source import Device, Piece, Source, play
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import VideoWriter
from reactface_jax.online.live_sound import LiveSound, check_sound


def write(path: Path, *, audio: bool = True, size: tuple[int, int] = (720, 960)) -> Path:
    """Two seconds at 25 a second whose grey is the frame's number, with a click at second 1."""
    sound = np.zeros(32_000, np.float32)
    sound[16_000:16_160] = 0.9
    with VideoWriter(path, size=size, audio=sound if audio else None) as writer:
        for i in range(50):
            writer.write(np.full((*size, 3), 20 + 4 * i, np.uint8))
    return path


def test_a_files_pictures_and_sound_come_at_their_times(tmp_path: Path):
    source = Source(str(write(tmp_path / "talk.mp4")))
    assert (source.is_file, source.hears) == (True, True)
    pieces = list(source)
    pictures = [(moment, content) for moment, content in pieces if content.ndim == 3]
    np.testing.assert_allclose([moment for moment, _ in pictures], np.arange(50) / 25, atol=1e-6)
    assert pictures[0][1].shape == (480, 640, 3)
    np.testing.assert_allclose([content.mean() for _, content in pictures], 20 + 4 * np.arange(50), atol=2)
    sound = np.zeros(40_000, np.float32)
    for moment, content in pieces:
        if content.ndim == 1:
            first = round(16_000 * moment)
            sound[max(first, 0) : first + len(content)] = content[max(-first, 0) :]
    assert np.flatnonzero(np.abs(sound) > 0.3)[0] == pytest.approx(16_000, abs=40)
    moments = [moment for moment, _ in pieces]
    assert moments == sorted(moments)


def test_a_file_without_sound_is_seen_only(tmp_path: Path):
    source = Source(str(write(tmp_path / "mute.mp4", audio=False)))
    assert not source.hears
    assert source.why_deaf.endswith("mute.mp4 has no sound")
    assert {content.ndim for _, content in source} == {3}


TONE = 0.9 * np.sin(2 * np.pi * 200 * np.arange(96_000) / 48_000)


def write_channels(path: Path, channels: np.ndarray, layout: str, *, rate: int = 48_000, codec: str = "flac") -> Path:
    """Two seconds of black with such sound."""
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout=layout)
        for i in range(50):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            picture.pts, picture.time_base = i, Fraction(1, 25)
            container.mux(video.encode(picture))
            step = rate // 25
            part = channels[:, step * i : step * (i + 1)]
            block = av.AudioFrame.from_ndarray((32767 * part.T.reshape(1, -1)).astype(np.int16), "s16", layout)
            block.sample_rate, block.pts, block.time_base = rate, step * i, Fraction(1, rate)
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def heard(path: Path) -> np.ndarray:
    """What a listener hears of a file, from its first picture on."""
    sound, begin = LiveSound(), None
    for moment, content in sorted(Source(str(path)), key=lambda piece: (piece[1].ndim == 1, piece[0])):
        if content.ndim == 3:
            begin = moment if begin is None else begin
        else:
            sound.add(moment - begin, *check_sound(content, 16_000))
    return sound.take(sound.end)


@pytest.mark.parametrize(
    ("gains", "layout", "rms"),
    [([1, 1], "stereo", 0.6364), ([1, -1], "stereo", 0.6364), ([1] * 6, "5.1", 0.6364), ([1, 0], "stereo", 0.3182)],
)
def test_channels_are_mixed_as_everywhere(gains: list[int], layout: str, rms: float, tmp_path: Path):
    """Their average, .9 / sqrt(2) for a sine on all of them; one of them where they cancel each other."""
    path = write_channels(tmp_path / "talk.mkv", np.outer(gains, TONE), layout)
    live = heard(path)
    assert live[400:-400].std() == pytest.approx(rms, abs=6e-4)
    np.testing.assert_allclose(live[400:31_600], read_audio(path)[400:31_600], atol=2e-3)
    assert len(live) == 32_000


def test_a_stream_whose_sound_changes_midway_is_heard_to_its_end(tmp_path: Path):
    """Two joined by their bytes: stereo at 48 kHz, then one channel at 44.1."""
    tone = 0.9 * np.sin(2 * np.pi * 200 * np.arange(88_200) / 44_100)
    one = write_channels(tmp_path / "1.ts", np.stack([TONE, TONE]), "stereo", codec="aac")
    other = write_channels(tmp_path / "2.ts", tone[None], "mono", rate=44_100, codec="aac")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    live, read = heard(joined), read_audio(joined)
    assert len(live) == pytest.approx(len(read), abs=16 * 20)  # an offset below 20 ms is taken as none
    for half in (slice(4000, 28_000), slice(36_000, 60_000)):
        assert live[half].std() == pytest.approx(read[half].std(), rel=1e-3)
        assert live[half].std() == pytest.approx(0.636, abs=0.01)


def test_a_file_is_played_at_its_pace_or_as_fast_as_it_is_taken(tmp_path: Path):
    source, came = Source(str(write(tmp_path / "talk.mp4"))), []
    waits = []
    play(source, lambda *_: None, lambda *_: None, real_time=False, wait=lambda: waits.append(1))
    assert len(waits) > 50
    begin = time.monotonic()
    play(source, lambda _, moment: came.append(time.monotonic() - begin - moment), lambda *_: None, real_time=True)
    assert len(came) == 50
    assert min(came) >= -0.02  # none comes early


@contextlib.contextmanager
def served(content: bytes) -> Iterator[str]:
    """Address of a file that a server on this machine gives as a whole."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/talk.mp4"
        server.shutdown()


def turned(path: Path) -> bytes:
    """An mp4 whose header says that its pictures are to be turned by a quarter."""
    content = path.read_bytes()
    at = content.index(b"tkhd") + 4 + 40
    matrix = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    return content[:at] + b"".join(value.to_bytes(4, "big", signed=True) for value in matrix) + content[at + 36 :]


def test_a_file_at_an_address_is_a_file(tmp_path: Path):
    """Upright and at its pace; on this disk it is read as by its name."""
    path = tmp_path / "a talk.mp4"
    path.write_bytes(turned(write(tmp_path / "talk.mp4", size=(90, 120))))
    named = list(Source(str(path)))
    local = Source(path.as_uri())  # a%20talk.mp4
    assert local.is_file
    for (moment, content), (expected, same) in zip(local, named, strict=True):
        assert moment == expected
        np.testing.assert_array_equal(content, same)
    came: list[float] = []
    with served(path.read_bytes()) as address, contextlib.closing(Source(address)) as source:
        assert (source.is_file, source.hears) == (True, True)
        begin = time.monotonic()

        def look(picture: np.ndarray, moment: float) -> None:
            assert picture.shape == (120, 90, 3)
            came.append(time.monotonic() - begin - moment)

        play(source, look, lambda *_: None, real_time=True)
    assert len(came) == 50
    assert min(came) >= -0.02


def test_nothing_more_is_played_when_nobody_takes_it(tmp_path: Path):
    source, taken = Source(str(write(tmp_path / "mute.mp4", audio=False, size=(64, 64)))), []
    play(source, lambda _, time: taken.append(time), lambda *_: None, real_time=False, ended=lambda: len(taken) == 5)
    assert len(taken) == 5


def test_camera_and_microphone_come_together(monkeypatch: pytest.MonkeyPatch):
    """FFmpeg's test picture and tone as devices, in real time; one is a second ahead on its own clock."""
    camera = Device("testsrc=rate=25:size=320x240:duration=1.2,setpts=PTS+1/TB,realtime", "lavfi")
    microphone = Device("sine=frequency=1000:duration=1.2,arealtime", "lavfi")
    monkeypatch.setattr(module, "devices", lambda chosen: (camera, microphone))
    source = Source("webcam")
    pieces = list(source)
    source.close()
    assert source.hears
    pictures = np.array([moment for moment, content in pieces if content.ndim == 3])
    sound = [(moment, len(content)) for moment, content in pieces if content.ndim == 1]
    assert len(pictures) == 30
    assert sum(length for _, length in sound) == pytest.approx(1.2 * 16_000, abs=500)
    assert np.median(np.diff(pictures)) == pytest.approx(1 / 25, abs=1e-3)  # but where one came earlier than all before
    assert abs(pictures[-1] - sound[-1][0]) < 0.5  # not a second apart


def test_two_clocks_become_one(monkeypatch: pytest.MonkeyPatch):
    """Each device stamps by its own clock; a piece that comes late by the machine's keeps its distance to others."""
    camera = Device("testsrc=rate=25:size=64x64", "lavfi")
    monkeypatch.setattr(module, "devices", lambda chosen: (camera, Device("sine", "lavfi")))
    now = threading.local()
    late = {"camera": [0.3, 0.02, 0.5, 0.02, 0.04], "microphone": [0.01, 0.2, 0.01, 0.9, 0.01]}
    stamped = {"camera": 1_000.0, "microphone": -7.0}

    def pieces(container: Any) -> Iterator[Piece]:
        name = "camera" if container.streams.video else "microphone"
        content = np.zeros((2, 2, 3), np.uint8) if name == "camera" else np.zeros(640, np.float32)
        for i, delay in enumerate(late[name]):
            ends = (i + (name == "microphone")) / 25  # a picture is there at once, sound when it has been heard
            now.value = 5.0 + ends + delay
            yield stamped[name] + i / 25, content

    monkeypatch.setattr(module, "_pieces", pieces)
    source = Source("webcam", clock=lambda: now.value)
    came = list(source)
    source.close()
    pictures = [moment for moment, content in came if content.ndim == 3]
    sound = [moment for moment, content in came if content.ndim == 1]
    np.testing.assert_allclose(pictures, 5 + np.arange(5) / 25 + np.array([0.3, 0.02, 0.02, 0.02, 0.02]), atol=1e-9)
    np.testing.assert_allclose(sound, 5 + np.arange(5) / 25 + 0.01, atol=1e-9)


def test_a_camera_is_let_go_midway(monkeypatch: pytest.MonkeyPatch):
    """Whoever stops listening closes the devices, whatever waits."""
    camera = Device("testsrc=rate=25:size=64x64,realtime", "lavfi")
    monkeypatch.setattr(module, "devices", lambda chosen: (camera, Device("sine,arealtime", "lavfi")))
    source = Source("webcam")
    pieces = iter(source)
    assert len([next(pieces) for _ in range(5)]) == 5
    source.close()
    assert not any(reader.is_alive() for reader in source._readers)


def test_a_microphone_that_can_not_be_opened_is_said(monkeypatch: pytest.MonkeyPatch):
    camera = Device("testsrc=rate=25:size=64x64:duration=0.2", "lavfi")
    monkeypatch.setattr(module, "devices", lambda chosen: (camera, Device("nosuchfilter", "lavfi")))
    source = Source("webcam")
    assert not source.hears
    assert source.why_deaf.startswith("the microphone nosuchfilter can't be opened")
    assert {content.ndim for _, content in source} == {3}


def test_a_mac_without_a_microphone_is_seen_only(monkeypatch: pytest.MonkeyPatch):
    """AVFoundation opens both or neither, and no built-in camera at FFmpeg's own 29.97 pictures a second."""
    asked, opened = [], av.open

    def opens(name: str, **options: Any):
        asked.append((name, options))
        if name.endswith(":0"):
            raise OSError(errno.EIO, "Input/output error")
        return opened("testsrc=rate=25:size=64x64:duration=0.2", format="lavfi")

    monkeypatch.setattr(av, "open", opens)
    monkeypatch.setattr(module, "devices", lambda chosen: (Device("1:0", "avfoundation"), None))
    source = Source("webcam")
    options = {"format": "avfoundation", "options": {"framerate": "30"}}
    assert asked == [("1:0", options), ("1:none", options)]
    assert not source.hears
    assert source.why_deaf.startswith("the microphone 0 can't be opened")
    assert {content.ndim for _, content in source} == {3}


class Hesitant:
    """A device as AVFoundation's: between two packets it says that there is none yet."""

    def __init__(self, packets: int) -> None:
        self._container = av.open("testsrc=rate=25:size=64x64", format="lavfi")
        self.streams, self._left = self._container.streams, packets
        self.close = self._container.close

    def demux(self, streams: Any) -> Iterator[Any]:
        if self._left:
            self._left -= 1
            yield next(self._container.demux(streams))
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_a_camera_that_has_nothing_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_open", lambda address, device: Hesitant(3))
    monkeypatch.setattr(module, "devices", lambda chosen: (Device("0:0", "avfoundation"), None))
    monkeypatch.setattr(module, "_SILENT", 0.05)
    came: list[float] = []
    with pytest.raises(UserError, match=r"--source webcam ended early: .*temporarily unavailable"):
        play(Source("webcam"), lambda _, moment: came.append(moment), lambda *_: None, real_time=True)
    assert came == [0.0, 0.04, 0.08]


def test_devices_are_named_as_the_system_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.sys, "platform", "linux")
    assert module.devices("") == (Device("/dev/video0", "v4l2"), Device("default", "alsa"))
    assert module.devices("/dev/video2,hw:1,0") == (Device("/dev/video2", "v4l2"), Device("hw:1,0", "alsa"))
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert module.devices("1") == (Device("1:0", "avfoundation"), None)
    monkeypatch.setattr(module.sys, "platform", "win32")
    assert module.devices("Cam,Mic") == (Device("video=Cam:audio=Mic", "dshow"), None)
    assert module.devices("Cam") == (Device("video=Cam", "dshow"), None)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("webcam:/dev/no-camera", "can't be opened"),
        ("rtsp://127.0.0.1:9/stream", "can't be opened"),
        ("missing.mp4", "missing.mp4 does not exist"),
    ],
)
def test_what_can_not_be_opened(address: str, said: str):
    with pytest.raises(UserError, match=said):
        Source(address)


def test_a_camera_without_pictures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "devices", lambda chosen: (Device("sine=duration=0.1", "lavfi"), None))
    with pytest.raises(UserError, match="has no pictures; give a camera"):
        Source("webcam")
