"""pairs.csv: which videos are conversations, and who is who in them."""

import csv
import io
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from data_pipeline.raw_tree.react2023 import SPLITS
from reactface_jax.errors import UserError
from reactface_jax.media.face import check_choice
from reactface_jax.media.open_media import audio_track, needed_video_track, open_media
from reactface_jax.text_reading import check_delimiter, read_text

COLUMNS = (
    "name",
    "split",
    "speaker",
    "listener",
    "speaker_face",
    "listener_face",
    "speaker_audio",
    "listener_audio",
)
SILENT = "none"
"""In place of a sound file: the person is not heard."""


@dataclass(frozen=True)
class Side:
    """One of the two people of a conversation."""

    video: Path
    face: str
    """As `face.choose` takes it; empty: the largest, or whoever speaks where both are in one video."""
    audio: str
    """A sound file, `SILENT`, or empty: the video's own."""


@dataclass(frozen=True)
class Pair:
    """One conversation."""

    name: str
    split: str
    speaker: Side
    listener: Side
    line: int
    """Of the csv, from 1."""

    @property
    def sides(self) -> dict[str, Side]:
        return {"speaker": self.speaker, "listener": self.listener}

    @property
    def one_video(self) -> bool:
        """Whether both are in one, which may have two names: a link is one."""
        return self.speaker.video.resolve() == self.listener.video.resolve()


def read_pairs(path: Path) -> tuple[list[Pair], dict[int, UserError]]:
    """Reads the conversations that a csv lists; paths in it are relative to its folder.

    Columns: `speaker` and `listener` (videos; no listener: both are in the speaker's), and where wanted `name`,
    `split`, `speaker_face`, `listener_face`, `speaker_audio`, `listener_audio`.

    Returns:
      The pairs that can be used so far, and what is wrong with the others: number of the csv's line to the sentence. A
      video or a sound that is missing or unusable, a contradiction and a name that is taken are of one line.

    Raises:
      UserError: the csv as a whole is missing or unusable.
    """
    rows = _read_rows(path)
    pairs: list[Pair] = []
    failed: dict[int, UserError] = {}
    names: dict[str, int] = {}
    for line, row in rows.items():
        try:
            pair = _pair(path, line, row)
            if (first := names.setdefault(pair.name.lower(), line)) != line:
                raise UserError(
                    f"--pairs {path}: lines {first} and {line} are both called {pair.name}; name them apart"
                )
            for side in pair.sides.values():
                _check_files(f"--pairs {path}, line {line}", side)
        except UserError as error:
            failed[line] = error
        else:
            pairs.append(pair)
    return pairs, failed


def _read_rows(path: Path) -> dict[int, dict[str, str]]:
    """The csv's rows by the number of the line in which each begins, the first line of the file being 1."""
    if not path.is_file():
        raise UserError(f"--pairs {path} does not exist; write a csv with the columns speaker and listener")
    text = read_text(path, name=f"--pairs {path}", advice="save it as csv in UTF-8")
    rows: dict[int, dict[str, str]] = {}
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, restkey="")
        columns = reader.fieldnames = [column.strip() for column in reader.fieldnames or []]
        begins = reader.line_num + 1
        for row in reader:
            if any(value for value in row.values()):  # spreadsheets leave rows of commas
                rows[begins] = row
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"--pairs {path} is not a csv file ({error}); save it as csv in UTF-8") from error
    for needed in ("speaker", "listener"):
        if needed not in columns:
            check_delimiter(text, name=f"--pairs {path}")
            raise UserError(
                f"--pairs {path} has no column {needed}; its first line must name speaker and listener, and may name "
                f"{', '.join(column for column in COLUMNS if column not in ('speaker', 'listener'))}"
            )
    for column in columns:
        if column not in COLUMNS:
            close = get_close_matches(column, COLUMNS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(COLUMNS)}"
            raise UserError(f"--pairs {path} has a column {column or 'without a name'!r} that is not known; {hint}")
        if columns.count(column) > 1:
            raise UserError(f"--pairs {path} has the column {column} twice; remove one of them")
    if not rows:
        raise UserError(f"--pairs {path} lists no pair; add a row for each conversation")
    return rows


def _pair(path: Path, line: int, row: dict[str, str]) -> Pair:
    where = f"--pairs {path}, line {line}"
    if "" in row:
        raise UserError(f"{where}, has more fields than the first line has names; put texts with commas into quotes")
    cell = {column: (row.get(column) or "").strip() for column in COLUMNS}
    if not cell["speaker"]:
        raise UserError(f"{where}, names no speaker's video; complete or remove it")
    speaker = path.parent / cell["speaker"]
    listener = path.parent / cell["listener"] if cell["listener"] else speaker
    name = cell["name"] or re.sub(r"[^A-Za-z0-9_-]+", "_", speaker.stem).strip("_") or f"pair_{line}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"{where}: the name {name!r} can't be a folder; use letters, digits, points, - and _")
    split = cell["split"] or "train"
    if split not in SPLITS:
        raise UserError(f"{where}: split {split!r} is not known; give {', '.join(SPLITS)}, or nothing for train")
    for role in ("speaker", "listener"):
        if face := cell[f"{role}_face"]:
            try:
                check_choice(face)
            except UserError:
                raise UserError(
                    f"{where}: {role}_face {face!r} is not known; give largest, left, right or a number from the left"
                ) from None
    return Pair(
        name,
        split,
        speaker=Side(speaker, cell["speaker_face"], _audio(path, cell["speaker_audio"])),
        listener=Side(listener, cell["listener_face"], _audio(path, cell["listener_audio"])),
        line=line,
    )


def _audio(path: Path, cell: str) -> str:
    return cell if cell in ("", SILENT) else str(path.parent / cell)


def _check_files(where: str, side: Side) -> None:
    """Opens a video and a sound: a batch should not stop hours later over a wrong name."""
    try:
        with open_media(side.video) as container:
            needed_video_track(container, side.video)
        if side.audio not in ("", SILENT):
            with open_media(side.audio) as container:
                if audio_track(container) is None:
                    raise UserError(f"{side.audio} has no sound track; give a file with sound")
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
