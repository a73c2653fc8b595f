"""What `react` writes: an mp4 with coefficients and names beside it, or a folder. Whole or not at all."""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name, check_length, make_folder, replacing_folder, require_replaceable
from reactface_jax.output_files import check_outputs

REACTIONS_FILE = "reactions.npy"
NAMES_FILE = "coefficient_names.json"
_OTHER_MEDIA = {
    *(".avi", ".flv", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".webm", ".wmv"),
    *(".gif", ".jpeg", ".jpg", ".png", ".webp"),
    *(".aac", ".flac", ".m4a", ".mp3", ".ogg", ".wav"),
    *(".csv", ".json", ".npy", ".npz"),
}
"""Suffixes of which no folder is meant."""
_WHAT = "an answer of this command"
_NAMES = re.compile(rf"answer\.mp4|(listener|authors)_\d+\.mp4|{re.escape(REACTIONS_FILE)}|{re.escape(NAMES_FILE)}")


def is_one_video(out: Path) -> bool:
    """Whether `out` names an mp4, not a folder."""
    return out.suffix.lower() == ".mp4"


def check_out(out: Path, inputs: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Refuses a place for the answer before anything is computed.

    Args:
      out: an mp4 or a folder.
      inputs: files that are read, by their flags.
      overwrite: whether an answer that is there may be replaced.

    Raises:
      UserError: something there would be lost, or nothing can be written there.
    """
    if is_one_video(out):
        check_length(out)
        return check_outputs(_files_of_video(out), inputs, overwrite=overwrite)
    if out.suffix.lower() in _OTHER_MEDIA and not out.is_dir():
        raise UserError(f"--out {out} must end in .mp4, or be a folder")
    for flag, path in inputs.items():
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise UserError(f"--out {out} would replace {flag} {path}; give another folder")
    if not overwrite and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already exists; give --overwrite to replace an answer there, or another folder")
    require_replaceable(out, _is_answer, _WHAT)


def save_coefficients(folder: Path, coefficients: Float[np.ndarray, "K T 58"], names: tuple[str, ...]) -> None:
    """Writes raw coefficients and the channels' names into the folder of an answer."""
    np.save(folder / REACTIONS_FILE, coefficients)
    (folder / NAMES_FILE).write_text(json.dumps(list(names)) + "\n", encoding="utf-8")


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder aside for the videos, coefficients and names, which go to `out` once all are there.

    Raises:
      UserError: something can't be written, such as on a full disk.
    """
    if not is_one_video(out):
        make_folder(out.parent)
        with replacing_folder(out, _is_answer, _WHAT) as folder:
            yield folder
        return
    stage = aside_name(out)
    try:
        stage.mkdir()
        yield stage
        (video,) = stage.glob("*.mp4")
        places = _files_of_video(out)
        for old in places:  # a kill from here on never leaves new coefficients beside an old video
            old.unlink(missing_ok=True)
        made = (video, stage / REACTIONS_FILE, stage / NAMES_FILE)
        for new, place in reversed(list(zip(made, places, strict=True))):  # who finds the video finds all
            new.replace(place)
    except OSError as error:
        raise UserError(f"{out} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def written(out: Path) -> list[Path]:
    """The files of an answer: videos, coefficients, names."""
    if is_one_video(out):
        return _files_of_video(out)
    return [*sorted(out.glob("*.mp4")), out / REACTIONS_FILE, out / NAMES_FILE]


def names_file_of(reactions: Path) -> Path:
    """Where the names of the channels are, beside the coefficients of an mp4."""
    return reactions.with_name(f"{reactions.stem}.{NAMES_FILE}")


def _files_of_video(out: Path) -> list[Path]:
    reactions = out.with_suffix(".npy")
    return [out, reactions, names_file_of(reactions)]


def _is_answer(folder: Path) -> bool:
    names = [path.name for path in folder.iterdir() if path.is_file()]
    return REACTIONS_FILE in names and all(_NAMES.fullmatch(path.name) for path in folder.iterdir())
