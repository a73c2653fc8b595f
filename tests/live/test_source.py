"""Who is listened to without a browser: files on one clock, camera and microphone on this machine's."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.live import source as module
from reactface_jax.live.source import Device, Piece, Source, play
from reactface_jax.media.video import VideoWriter


def write(path: Path, *, audio: bool = True) -> Path:
    """Two seconds at 25 a second whose grey is the frame's number, with a click at second 1."""
    sound = np.zeros(32_000, np.float32)
    sound[16_000:16_160] = 0.9
    with VideoWriter(path, size=(720, 960), audio=sound if audio else None) as writer:
        for i in range(50):
            writer.write(np.full((720, 960, 3), 20 + 4 * i, np.uint8))
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


def test_a_file_is_played_at_its_pace_or_as_fast_as_it_is_taken(tmp_path: Path):
    source, came = Source(str(write(tmp_path / "talk.mp4"))), []
    waits = []
    play(source, lambda *_: None, lambda *_: None, real_time=False, wait=lambda: waits.append(1))
    assert len(waits) > 50
    begin = time.monotonic()
    play(source, lambda _, moment: came.append(time.monotonic() - begin - moment), lambda *_: None, real_time=True)
    assert len(came) == 50
    assert min(came) >= -0.02  # none comes early


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
