"""`reactface react` on a sound file: the listener hears and does not see, and the pictures show how loud it was."""

import wave
from pathlib import Path

import numpy as np
import pytest

from reactface_jax.extraction.people import unseen
from reactface_jax.media.audio import read_audio
from reactface_jax.media.sound_picture import loudness_pictures
from reactface_jax.media.video import read_video
from reactface_jax.react import main

FRAMES = 40


def write_wav(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((32767 * samples).astype("<i2").tobytes())
    return path


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Silent at first, then a tone."""
    tone = 0.5 * np.sin(np.arange(FRAMES * 640) / 8)
    tone[: 20 * 640] = 0
    return write_wav(tmp_path / "voice.wav", tone)


def test_a_voice_is_answered_by_the_packaged_listener(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--speaker", str(voice), "--out", str(tmp_path / "answer.mp4"), "--num-reactions", "2", "--no-labels"])
    out = capsys.readouterr().out
    assert f"{voice}: 1.6 s of sound without a picture: the listener hears and does not see" in out
    reactions = np.load(tmp_path / "answer.npy")
    assert reactions.shape == (2, FRAMES, 58)
    assert np.isfinite(reactions).all()
    assert abs(reactions[0] - reactions[1]).max() > 1e-3
    video = read_video(tmp_path / "answer.mp4")
    assert video.shape == (FRAMES, 256, 768, 3)
    speaker = video[:, :, :256].astype(int).mean((1, 2, 3))
    assert abs(speaker[10] - speaker[5]) < 0.5  # nothing was heard yet
    assert speaker[35] > speaker[15] + 3
    sound = read_audio(tmp_path / "answer.mp4")
    assert np.abs(sound[: 18 * 640]).max() < 0.05 < 0.3 < np.abs(sound[25 * 640 :]).max()


def test_what_is_heard_decides(voice: Path, tmp_path: Path) -> None:
    """Another voice gets another answer by the same seed."""
    quiet = write_wav(tmp_path / "quiet.wav", np.zeros(FRAMES * 640))
    for path in (voice, quiet):
        main(["--speaker", str(path), "--out", str(tmp_path / path.stem), "--renderer", "none", "--num-reactions", "2"])
    heard, unheard = (np.load(tmp_path / name / "reactions.npy") for name in ("voice", "quiet"))
    assert abs(heard - unheard)[:, :18].max() < 1e-4
    assert abs(heard - unheard)[:, 20:].max() > 1e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "run"], "voice.wav has no picture, and --checkpoint needs one"),
        (
            ["--audio", "voice.wav"],
            "voice.wav has no picture, and --audio needs one; give a video, or leave --audio out",
        ),
        (["--face", "left"], "voice.wav has no picture, and --face needs one"),
        (["--speaker", "short.wav"], "short.wav is shorter than a frame (40 ms)"),
    ],
)
def test_mistakes_have_sentences(
    words: list[str],
    message: str,
    voice: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(voice.parent)
    write_wav(Path("short.wav"), np.zeros(600))
    speaker = [] if "--speaker" in words else ["--speaker", "voice.wav"]
    with pytest.raises(SystemExit) as stop:
        main([*speaker, "--out", "answer", "--renderer", "none", *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("answer").exists()


def test_nobody_is_measured_in_a_voice() -> None:
    person = unseen(7)
    assert person.coefficients.shape == (7, 58)
    assert not person.usable.any()
    assert not person.measured.any()


def test_bars_are_as_high_as_the_sound_is_loud() -> None:
    sound = np.repeat(np.array([0.0, 1.0, 0.1, 0.0]), 640).astype(np.float32)
    silent, loud, soft, end = loudness_pictures(sound, 4)
    heights = [
        int((picture[:, -9:-5] == (116, 185, 222)).all(-1).any(1).sum()) for picture in (silent, loud, soft, end)
    ]
    assert heights[0] == heights[3] == 0
    assert heights[1] == 2 * round(0.35 * 256)
    assert heights[2] == pytest.approx(2 * 0.35 * 256 * (1 - 20 / 45), abs=2)
    assert (np.stack(list(loudness_pictures(np.zeros(1280, np.float32), 2)))[0] == silent).all()
