"""Sound of any form becomes mono samples that are in time with the picture."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio, read_audio_or_none
from reactface_jax.media.normalisation import normalise
from reactface_jax.media.video import VideoWriter


def write_wav(path: Path, samples: np.ndarray, rate: int, layout: str) -> Path:
    """A 16-bit wav of `samples` [channels, length] in [-1, 1]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        container.start_encoding()
        interleaved = np.round(samples.T * 32767).astype(np.int16).reshape(1, -1)
        if interleaved.size:
            block = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
            block.sample_rate = rate
            container.mux(stream.encode(block))
    return path


def tone(seconds: float, rate: int, hertz: float = 200.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(
    ("rate", "layout", "channels"), [(16_000, "mono", 1), (44_100, "stereo", 2), (48_000, "5.1", 6)]
)
def test_any_wav_becomes_16_khz_mono(tmp_path: Path, rate: int, layout: str, channels: int) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([tone(1.0, rate)] * channels), rate, layout)
    audio = read_audio(path)
    assert audio.dtype == np.float32
    assert len(audio) == pytest.approx(16_000, abs=1)
    np.testing.assert_allclose(audio[500:15_500], tone(1.0, 16_000)[500:15_500], atol=2e-3)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = tone(0.5, 16_000)
    path = write_wav(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)]), 16_000, "stereo")
    np.testing.assert_allclose(read_audio(path), left / 2, atol=1e-4)


def test_sound_of_a_video_keeps_its_time(tmp_path: Path) -> None:
    click = np.zeros(32_000, np.float32)
    click[16_000:16_160] = 0.9
    with VideoWriter(tmp_path / "a.mp4", size=(32, 32), audio=click) as writer:
        for _ in range(50):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    loud = np.flatnonzero(np.abs(read_audio(tmp_path / "a.mp4")) > 0.4)
    assert loud[0] == pytest.approx(16_000, abs=32)  # 2 ms


def test_late_sound_track_is_padded(tmp_path: Path) -> None:
    """A track that starts 0.5 s after the picture must not be heard 0.5 s early."""
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(np.full((1, 8000), 16_384, np.int16), format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = 16_000, 8000, Fraction(1, 16_000)
        container.mux(sound.encode(block))
    audio = read_audio(tmp_path / "a.mkv")
    assert len(audio) == pytest.approx(16_000, abs=32)
    assert np.abs(audio[:7950]).max() == 0
    np.testing.assert_allclose(audio[8050:], 0.5, atol=1e-3)


def test_no_sound_track(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "silent.mp4", size=(32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert read_audio_or_none(tmp_path / "silent.mp4") is None
    with pytest.raises(UserError, match="has no sound track"):
        read_audio(tmp_path / "silent.mp4")


def test_bad_files_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has an empty sound track"):
        read_audio(write_wav(tmp_path / "empty.wav", np.zeros((1, 0)), 16_000, "mono"))
    (tmp_path / "text.wav").write_text("I am a text file.\n" * 50)
    with pytest.raises(UserError, match="is not a video or sound file"):
        read_audio(tmp_path / "text.wav")
    with pytest.raises(UserError, match="does not exist"):
        read_audio(tmp_path / "missing.wav")


def test_normalise_by_hand() -> None:
    np.testing.assert_allclose(normalise(np.array([0.0, 2.0], np.float32)), [-1.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(normalise(np.full(4, 0.3, np.float32)), np.zeros(4))
