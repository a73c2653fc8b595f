"""The tree that own recordings become: whether a folder is one, what is recorded in it, and the csvs that follow.

    OUT/recordings/<name>.json                    what a conversation was made from and how it went; written last
    OUT/Video_files/Own/<name>/<role>/<clip>.mp4  256x256, 25 fps; roles are speaker and listener
    OUT/Audio_files/ ... .wav                     16 kHz mono
    OUT/3D_FV_files/ ... .npy                     [T, 1, 58]
    OUT/previews/<name>/<clip>.mp4 .png           to look at
    OUT/train.csv val.csv test.csv                of all that is recorded
    OUT/coefficient_names.json

A conversation is written aside and moved to its place; without its json it does not count, and is made again.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, cast

from data_pipeline.conversation_video import Facts
from data_pipeline.own_recordings.clip_files import COEFFICIENT_NAMES
from data_pipeline.own_recordings.pairs import SILENT, Pair, Side
from data_pipeline.raw_tree.react2023 import SPLITS
from reactface_jax.errors import UserError
from reactface_jax.files import make_folder, replacing
from reactface_jax.folder_lock import LOCK, locked
from reactface_jax.text_reading import read_text
from reactface_jax.types import FRAME_RATE

SITE = "Own"
RECORDS = "recordings"
PREVIEWS = "previews"
PARTIAL = ".partial-"
FOLDERS = {"video": "Video_files", "audio": "Audio_files", "coefficients": "3D_FV_files"}
_NAMES = "coefficient_names.json"
_HEADER = ",speaker_path,listener_path"
_ROW = re.compile(rf"\d+,{SITE}/([^/,]+)/speaker/(\d+),{SITE}/\1/listener/\2")

Recipe = dict[str, object]
"""What a recording's clips depend on: each side's video and sound, and the settings. JSON-able."""

_IN_WORDS = {
    "bytes": "video size",
    "modified": "video time",
    "audio": "sound",
    "audio_bytes": "sound size",
    "audio_modified": "sound time",
}
"""Fields of a side whose names say too little."""


class Cut(TypedDict):
    """A clip: from which second of the recording on, and how many frames."""

    start: float
    frames: int


class Record(Facts):
    """What stands in recordings/<name>.json."""

    recipe: Recipe
    name: str
    clips: list[Cut]


@dataclass(frozen=True)
class Settings:
    """What the clips depend on beside the recording."""

    clip_seconds: float = 30.0
    min_seconds: float = 5.0
    previews: bool = True

    def __post_init__(self) -> None:
        if not self.clip_seconds * FRAME_RATE < float("inf"):
            raise UserError(f"--clip-seconds {self.clip_seconds:g} is no length of a clip; give seconds, such as 30")
        if not 1 / FRAME_RATE <= self.min_seconds <= self.clip_seconds:
            raise UserError(
                f"--min-seconds {self.min_seconds:g} must be above 0 and at most --clip-seconds {self.clip_seconds:g}"
            )


# ---- The folder ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Makes the folder ours, or checks that it is, and holds it while inside; removes what a killed run left.

    Raises:
      UserError: it holds what `import` did not write, or another process writes into it.
    """
    _require_ours(out)
    with locked(out):
        make_folder(out / RECORDS)
        for left in out.glob(f"{PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)
        with replacing(out / _NAMES) as file:
            file.write(json.dumps(COEFFICIENT_NAMES, indent=1).encode())
        yield


def _require_ours(out: Path) -> None:
    """Raises `UserError` when something in a folder would be replaced or removed that `import` did not write."""
    there = {path.name for path in out.iterdir()} - {LOCK} if out.is_dir() else set()
    if not there or (there == {RECORDS} and (out / RECORDS).is_dir() and not any((out / RECORDS).iterdir())):
        return
    if not records(out) and not (out / _NAMES).is_file():
        raise UserError(f"--out {out} is not empty and no tree that import made; give a new folder")
    for name in sorted(there):
        if not _is_ours(out / name):
            raise UserError(
                f"--out {out} holds a {name} that import did not write and would replace; give another folder"
            )


def _is_ours(path: Path) -> bool:
    """Whether a file may be replaced: `import` wrote it, or its name is none that `import` writes."""
    if path.name.startswith(PARTIAL):
        return path.is_dir() and {part.name for part in path.iterdir()} <= {*FOLDERS.values(), PREVIEWS}
    if path.name not in (_NAMES, *(f"{split}.csv" for split in SPLITS)):
        return True
    text = read_text(path, advice="give another --out")
    if path.name == _NAMES:
        return text == json.dumps(COEFFICIENT_NAMES, indent=1)
    header, *rows = text.splitlines() or [""]
    return header == _HEADER and all(_ROW.fullmatch(row) for row in rows)


# ---- What is recorded ------------------------------------------------------------------------------------------------


def recipe_of(pair: Pair, settings: Settings) -> Recipe:
    """All that a recording's clips depend on."""
    return {
        **{role: _side(side) for role, side in pair.sides.items()},
        "split": pair.split,
        "clip_seconds": settings.clip_seconds,
        "min_seconds": settings.min_seconds,
        "previews": settings.previews,
    }


def _side(side: Side) -> dict[str, object]:
    """A person's files, by their place, size and time of change."""
    video, size, modified = _known_by(side.video)
    found: dict[str, object] = {"video": video, "bytes": size, "modified": modified, "face": side.face}
    if side.audio in ("", SILENT):
        return {**found, "audio": side.audio}
    audio, size, modified = _known_by(Path(side.audio))
    return {**found, "audio": audio, "audio_bytes": size, "audio_modified": modified}


def _known_by(path: Path) -> tuple[str, int, str]:
    stat = path.stat()
    return str(path.resolve()), stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC).isoformat()


def is_there(out: Path, pair: Pair, settings: Settings, overwrite: bool) -> bool:
    """Whether a pair's recording needs not be made.

    Raises:
      UserError: a recording of its name is there that was made from something else, and `overwrite` is not given.
    """
    path = out / RECORDS / f"{pair.name}.json"
    if not path.is_file():
        return False
    there, wanted = _fields(read_record(path)["recipe"]), _fields(recipe_of(pair, settings))
    for field, value in wanted.items():
        was = there.get(field, value)  # older records have fewer fields
        if was == value:
            continue
        if not overwrite:
            raise UserError(
                f"{out} holds another recording called {pair.name}: its {field} is {str(was) or 'nothing'}, "
                f"not {str(value) or 'nothing'}; give --overwrite to make it again, or another name"
            )
        return False
    return True


def _fields(recipe: Recipe) -> dict[str, object]:
    """A recipe's fields by their names in words, with paths as they are written today."""
    found: dict[str, object] = {}
    for key, value in recipe.items():
        if not isinstance(value, dict):
            found[key] = value
            continue
        for name, part in value.items():
            is_path = name == "audio" and part not in ("", SILENT)
            found[f"{key}'s {_IN_WORDS.get(name, name)}"] = str(Path(part).resolve()) if is_path else part
    return found


def read_record(path: Path) -> Record:
    """What was written of a recording. Raises `UserError` if that is damaged, or no record."""
    advice = "give another --out, or if import wrote it remove it, and the recording will be made again"
    try:
        record = json.loads(read_text(path, advice=advice))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON; {advice}") from error
    if not isinstance(record, dict) or not Record.__required_keys__ <= record.keys():
        raise UserError(f"{path} is no record of a recording; {advice}")
    return cast(Record, record)


def records(out: Path) -> list[Record]:
    """Of all recordings, by name. Raises as `read_record`."""
    return [read_record(path) for path in sorted((out / RECORDS).glob("*.json"))]


def write_tables(out: Path) -> None:
    """Writes the csvs, which follow from the records."""
    rows: dict[str, list[str]] = {split: [] for split in SPLITS}
    for record in records(out):
        for number in range(1, len(record["clips"]) + 1):
            lines = rows[str(record["recipe"]["split"])]
            people = (f"{SITE}/{record['name']}/{role}/{number}" for role in ("speaker", "listener"))
            lines.append(",".join([str(len(lines)), *people]))
    for split, lines in rows.items():
        path = out / f"{split}.csv"
        if lines:
            with replacing(path) as file:
                file.write("\n".join([_HEADER, *lines, ""]).encode())
        else:
            path.unlink(missing_ok=True)
