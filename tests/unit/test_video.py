"""Video files are resampled by timestamps, turned upright, and written whole or not at all."""

import resource
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name
from reactface_jax.media.video import VideoWriter, iterate_video, read_video, resize

SIZE = (32, 48)


def grey(level: int) -> np.ndarray:
    return np.full((*SIZE, 3), level, np.uint8)


def write_clip(path: Path, times: list[Fraction], levels: list[int], time_base: Fraction = Fraction(1, 90_000)) -> Path:
    """A clip of grey frames that are shown at exactly the given times (s)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "1", "preset": "ultrafast", "bf": "0"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base
        for time, level in zip(times, levels, strict=True):
            frame = av.VideoFrame.from_ndarray(grey(level), format="rgb24")
            frame.pts, frame.time_base = round(time / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def levels_of(frames: np.ndarray) -> list[float]:
    return [float(frame.mean()) for frame in frames]


@pytest.mark.parametrize("rate", [Fraction(12), Fraction(24), Fraction(30_000, 1001), Fraction(50)])
def test_output_frame_is_the_one_shown_at_its_time(tmp_path: Path, rate: Fraction) -> None:
    count = 2 * round(rate)
    levels = [40 + 150 * i // count for i in range(count)]
    path = write_clip(tmp_path / "clip.mp4", [i / rate for i in range(count)], levels)
    frames = read_video(path)
    assert len(frames) == pytest.approx(2 * 25, abs=1)
    expected = [levels[min(int(Fraction(i, 25) * rate), count - 1)] for i in range(len(frames))]
    np.testing.assert_allclose(levels_of(frames), expected, atol=2.5)


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [Fraction(milliseconds, 1000) for milliseconds in (0, 20, 200, 210, 400)]
    path = write_clip(tmp_path / "clip.mp4", times, [40, 80, 120, 160, 200])
    # At 0.00 the first frame; from 0.04 the second; at 0.20 the third; from 0.24 the fourth; from 0.40 the last.
    expected = [40, *[80] * 4, 120, *[160] * 4, 200]
    np.testing.assert_allclose(levels_of(read_video(path))[: len(expected)], expected, atol=2.5)


def test_matroska_milliseconds_do_not_shift_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", [Fraction(i, 30) for i in range(30)], list(range(40, 190, 5)))
    expected = [40 + 5 * (i * 30 // 25) for i in range(25)]
    np.testing.assert_allclose(levels_of(read_video(path)), expected, atol=2.5)


def test_constant_25_is_taken_frame_by_frame(tmp_path: Path) -> None:
    levels = list(range(30, 180, 5))
    with VideoWriter(tmp_path / "clip.mp4", size=SIZE, crf=1) as writer:
        for level in levels:
            writer.write(grey(level))
    np.testing.assert_allclose(levels_of(read_video(tmp_path / "clip.mp4")), levels, atol=2.5)


def test_rotation_metadata_is_applied(tmp_path: Path) -> None:
    picture = grey(0)
    picture[:, -8:] = 255  # the sensor's right edge
    with VideoWriter(tmp_path / "clip.mp4", size=SIZE) as writer:
        writer.write(picture)
    content = (tmp_path / "clip.mp4").read_bytes()
    one, matrix = 1 << 16, content.index(b"tkhd") + 4 + 40

    def row(*values: int) -> bytes:
        return b"".join(value.to_bytes(4, "big", signed=True) for value in values)

    quarter_clockwise = row(0, one, 0, -one, 0, 0, SIZE[0] * one, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(content[:matrix] + quarter_clockwise + content[matrix + 36 :])
    turned = read_video(tmp_path / "turned.mp4")[0]
    assert turned.shape == (SIZE[1], SIZE[0], 3)
    assert turned[-6:].mean() > 240  # right goes to the bottom
    assert turned[:-10].mean() < 10


def test_size_and_resize(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", size=SIZE) as writer:
        writer.write(grey(100))
    assert read_video(tmp_path / "clip.mp4", size=(16, 20)).shape == (1, 16, 20, 3)
    checks = np.kron(np.array([[0, 200], [200, 0]], np.uint8), np.ones((8, 8), np.uint8))[..., None].repeat(3, -1)
    np.testing.assert_allclose(resize(checks, (2, 2))[..., 0], [[0, 200], [200, 0]], atol=3)
    np.testing.assert_allclose(resize(checks, (1, 1))[..., 0], [[100]], atol=3)


def test_written_file_plays_in_browsers(tmp_path: Path) -> None:
    sound = np.sin(np.arange(3 * 16_000) / 10).astype(np.float32)
    with VideoWriter(tmp_path / "clip.mp4", size=SIZE, audio=sound) as writer:
        for level in range(50):
            writer.write(grey(level))
    content = (tmp_path / "clip.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.format.name, video.average_rate) == ("h264", "yuv420p", 25)
        assert (audio.codec_context.name, audio.rate) == ("aac", 16_000)
        assert float(audio.duration * audio.time_base) == pytest.approx(2.0, abs=0.07)  # cut where the frames end
    assert list(tmp_path.iterdir()) == [tmp_path / "clip.mp4"]


def test_failure_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("old")

    def fail_half_way() -> None:
        with VideoWriter(path, size=SIZE) as writer:
            writer.write(grey(1))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    with pytest.raises(ValueError, match="no frame"), VideoWriter(path, size=SIZE):
        pass
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_takes_no_more_keeps_nothing_half_written(tmp_path: Path) -> None:
    path, noise = tmp_path / "clip.mp4", np.random.default_rng(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))

    def fill() -> None:
        with VideoWriter(path, size=(128, 128)) as writer:
            for _ in range(100):
                writer.write(noise.integers(0, 255, (128, 128, 3), np.uint8))

    try:
        with pytest.raises(OSError, match="File too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", size=SIZE) as writer:
        for _ in range(100):  # the encoder holds the first ones back
            writer.write(grey(0))
        (aside,) = tmp_path.iterdir()
        assert aside == aside_name(tmp_path / "clip.mp4")  # a name that `files.sweep` knows


def test_writer_refuses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"folder .*nowhere does not exist"):
        VideoWriter(tmp_path / "nowhere" / "clip.mp4", size=SIZE)
    with pytest.raises(UserError, match="even height and width, not 31x48"):
        VideoWriter(tmp_path / "clip.mp4", size=(31, 48))
    with VideoWriter(tmp_path / "clip.mp4", size=SIZE) as writer:
        writer.write(grey(0))
        with pytest.raises(ValueError, match="expected a uint8"):
            writer.write(grey(0)[1:])


def test_bad_files_get_a_sentence(tmp_path: Path) -> None:
    def error_of(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            list(iterate_video(path))
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "does not exist" in error_of(tmp_path / "missing.mp4")
    assert "is a folder" in error_of(tmp_path)
    (tmp_path / "text.mp4").write_text("I am a text file.\n" * 50)
    assert "is not a video or sound file" in error_of(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "is empty" in error_of(tmp_path / "empty.mp4")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        block.sample_rate = 16_000
        container.mux(stream.encode(block))
    assert "no video track" in error_of(tmp_path / "sound.wav")
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "whole.mp4", size=SIZE) as writer:
        for _ in range(50):
            writer.write(rng.integers(0, 255, (*SIZE, 3), np.uint8))
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    assert "is cut off" in error_of(tmp_path / "cut.mp4")
