"""A shard set's description of itself: written last, and held against the files before the first step."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import numpy as np

from data_pipeline.shards.remote import AnyPath
from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.text_reading import Json, json_from_text, text_from_bytes
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE

VERSION = "1.0.0"  # of the shards' format; the loader refuses others
FORMAT = "react2023"
DESCRIPTION = "description.json"
PREPARE = "reactface prepare"
WRITE = f"`{PREPARE} shards --raw ROOT"

_LARGEST = float(np.finfo(np.float32).max)


class FileDescription(TypedDict):
    """A file of a set."""

    bytes: int
    sha256: str


class LeftOutRow(TypedDict):
    """A row of a csv that is not in the set; as `data_pipeline.raw_tree.react2023.LeftOut`."""

    row: int
    speaker: str
    listener: str
    reason: str
    damaged: bool


class SplitDescription(TypedDict):
    """What a set says of a split. Lists are in the order of its directions."""

    clips: int
    frames: list[int]
    clip_ids: list[str]
    max_neighbours: int
    appropriateness_from: str
    csv_rows: int
    left_out: list[LeftOutRow]


class Description(TypedDict):
    """description.json, see docs/data.md."""

    format: str
    version: str
    writer: dict[str, str]
    frame_rate: int
    sample_rate: int
    frame_size: list[int]
    """Height and width; 0, 0 in a set without pictures."""
    coefficient_names: list[str]
    mean_face: list[float]
    std_face: list[float]
    statistics_from: str
    splits: dict[str, SplitDescription]
    files: dict[str, FileDescription]
    sha256: str
    """Of all else in the description, see `digest`."""
    form: NotRequired[dict[str, object]]
    """Of sets that were made of another form than REACT2023's: its name, and the settings."""


def digest(description: Mapping[str, object]) -> str:
    """SHA-256 of a description but for this very field, whatever its fields' order and the file's spaces."""
    rest = {name: value for name, value in description.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def checksum(path: Path) -> FileDescription:
    """Size and SHA-256 of a file, as the description lists them."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def describe(
    *,
    frame_size: list[int],
    coefficient_names: list[str],
    mean_face: list[float],
    std_face: list[float],
    statistics_from: str,
    splits: dict[str, SplitDescription],
    files: dict[str, FileDescription],
    form: Mapping[str, object] | None = None,
) -> Description:
    """The description of a set.

    Args:
      frame_size: height and width.
      coefficient_names: 58 names.
      mean_face: of the 58 coefficients.
      std_face: likewise.
      statistics_from: where both come from, in words.
      splits: what each holds.
      files: size and checksum of each but the description.
      form: what a reader says of its form and settings.
    """
    packages = ("reactface-jax", "tensorflow-datasets", "array_record", "pillow", "av", "soxr")
    description: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "writer": {name: importlib.metadata.version(name) for name in packages},
        "frame_rate": FRAME_RATE,
        "sample_rate": SAMPLE_RATE,
        "frame_size": frame_size,
        "coefficient_names": coefficient_names,
        "mean_face": mean_face,
        "std_face": std_face,
        "statistics_from": statistics_from,
        "splits": splits,
        "files": files,
    }
    if form is not None:
        description["form"] = form
    return cast(Description, {**description, "sha256": digest(description)})


def read_description(folder: AnyPath) -> Description:
    """Reads a shard set's description, and checks that it is whole and that its files are there.

    The tables are held against their checksums here. The shards are not, which would take minutes before every
    training: ArrayRecord checks each record when it is read, and `prepare verify` reads everything.

    Raises:
      UserError: there is no shard set, it is of another version, its description contradicts itself, or a file is
        missing, cut off or damaged.
    """
    content = _read(folder)
    again = f"{WRITE} --out {folder} --overwrite`"
    if content.get("version") != VERSION:
        version = content.get("version")
        raise UserError(f"{folder} has version {version} of the shards' format, not {VERSION}; write it with {again}")
    try:
        description = cast(Description, content)
        wrong = _contradiction(description)
        if not wrong and description["sha256"] != digest(description):
            wrong = "its checksum is another"
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        wrong = f"it lacks {error}" if isinstance(error, KeyError) else f"a field is of the wrong kind ({error})"
    if wrong:
        raise UserError(f"{folder / DESCRIPTION} is damaged: {wrong}; copy the shard set again, or write it anew")
    for name, expected in description["files"].items():
        file = folder / name
        size = len_of(file) if file.is_file() else None
        if size != expected["bytes"]:
            state = "is missing" if size is None else f"has {size} bytes, not {expected['bytes']}"
            raise UserError(f"shard file {file} {state}; copy it again, or write the set again with {again}")
    if isinstance(folder, Path):
        _check_tables(folder, description)
    return description


def files_of(folder: AnyPath) -> set[str]:
    """Names of the files that a set's description lists, of whatever version and in whatever state they are.

    Raises:
      UserError: the folder has no description of a shard set.
    """
    content = _read(folder)
    files = content.get("files")
    if content.get("format") != FORMAT or not isinstance(files, dict):
        raise UserError(f"{folder / DESCRIPTION} is no description of a shard set")
    return set(files)


def _read(folder: AnyPath) -> dict[str, Json]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder} is not a shard set: {_what_else(folder)}")
    advice = "copy the shard set again, or write it anew into another folder"
    try:
        text = text_from_bytes(path.read_bytes(), name=str(path), advice=advice)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error}); {advice}") from error
    content = json_from_text(text, name=f"{path} can't be read: it", advice=advice)
    if not isinstance(content, dict):
        raise UserError(f"{path} can't be read: it is no description of a shard set; {advice}")
    return content


def _what_else(folder: AnyPath) -> str:
    """What is in place of a set, and what to do; never to write over what is there."""
    if not folder.exists():
        return f"it does not exist; write it with {WRITE} --out {folder}`"
    if folder.is_file():
        return f"it is a file; give the folder that {WRITE} --out DIR` wrote"
    if any((folder / name).exists() for name in ("train.csv", "val.csv", "test.csv", "Video_files")):
        shards = folder.with_name(f"{folder.name}-shards")
        return (
            f"it is a raw tree; write its shards with `{PREPARE} shards --raw {folder} --out {shards}`, and give "
            f"{shards}"
        )
    if any(folder.iterdir()):
        return f"it has no {DESCRIPTION}; give the folder that {WRITE} --out DIR` wrote"
    return f"it is empty; write it with {WRITE} --out {folder}`"


def len_of(file: AnyPath) -> int:
    """Size of a file (bytes)."""
    return file.stat().st_size if isinstance(file, Path) else int(file.stat().length)


def shards_of(description: Description, split: str) -> list[str]:
    """Names of a split's shards, in order."""
    return sorted(name for name in description["files"] if is_shard(name) and f"-{split}." in name)


def is_shard(name: str) -> bool:
    """Whether a file of the set holds examples."""
    return ".array_record-" in name


def _contradiction(description: Description) -> str:
    """What in a description can't be, in words; empty when all is well."""
    names = description["coefficient_names"]
    if len(set(names)) != NUM_COEFFICIENTS or not all(isinstance(name, str) for name in names):
        return f"coefficient_names are not {NUM_COEFFICIENTS} different names"
    for name, numbers in (("mean_face", description["mean_face"]), ("std_face", description["std_face"])):
        if len(numbers) != NUM_COEFFICIENTS or not all(abs(number) <= _LARGEST for number in numbers):
            return f"{name} is not {NUM_COEFFICIENTS} finite numbers"
    if min(description["std_face"]) < 0:
        return "std_face has negative numbers"
    size = description["frame_size"]  # 0, 0: no pictures
    if len(size) != 2 or not all(type(side) is int for side in size) or (min(size) < 1 and size != [0, 0]):
        return "frame_size is not a height and a width"
    for name, file in description["files"].items():
        if name in ("", ".", "..") or "/" in name or type(file["bytes"]) is not int or type(file["sha256"]) is not str:
            return f"it does not list {name!r} with its size and checksum"
    if not description["splits"]:
        return "it has no split"
    for name, split in description["splits"].items():
        counts = {split["clips"], len(split["frames"]), len(split["clip_ids"])}
        if len(counts) > 1 or split["clips"] % 2 or not split["clips"]:
            return f"the clips of {name} are counted as {' and '.join(map(str, sorted(counts)))}"
        if not all(type(frames) is int for frames in split["frames"]) or min(split["frames"]) < 1:
            return f"a clip of {name} has no frames"
        if not all(isinstance(clip, str) for clip in split["clip_ids"]):
            return f"a clip of {name} has no name"
        if type(split["max_neighbours"]) is not int or not 1 <= split["max_neighbours"] <= split["clips"]:
            return f"max_neighbours of {name} is {split['max_neighbours']}"
        needed = {f"coefficients_{name}.npy", f"appropriateness_{name}.npy"} - set(description["files"])
        if needed or not shards_of(description, name):
            return f"it does not list {' and '.join(sorted(needed)) or f'the shards of {name}'}"
    return ""


def _check_tables(folder: Path, description: Description) -> None:
    """Everything but the shards against its checksum, the tables' shapes against the counts, and their numbers."""
    for name, expected in description["files"].items():
        if not is_shard(name) and checksum(folder / name) != expected:
            raise damaged(folder / name)
    for name, split in description["splits"].items():
        clips = split["clips"]
        table = read_npy(folder / f"coefficients_{name}.npy", mapped=True)
        matrix = read_npy(folder / f"appropriateness_{name}.npy", mapped=True, kinds="b")
        if (
            matrix.shape != (clips, clips)
            or table.ndim != 3
            or len(table) != clips
            or table.shape[1] < max(split["frames"])
            or table.shape[2] != NUM_COEFFICIENTS
        ):
            raise UserError(
                f"the tables of {name} in {folder} have shapes {table.shape} and {matrix.shape}, but it has {clips} "
                "clips; write the shard set anew"
            )
        for clip, track in zip(split["clip_ids"], table, strict=True):
            if not np.isfinite(track).all():
                raise UserError(
                    f"the coefficients of {clip} of {name} in {folder} are not finite; extract them again and write "
                    "the shard set anew"
                )


def damaged(path: AnyPath) -> UserError:
    """For a file whose checksum is another."""
    return UserError(f"{path} is damaged: its checksum is another; copy it again, or write the shards anew")
