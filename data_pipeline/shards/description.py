"""A shard set's description of itself: written last, and held against the files before the first step."""

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.shards.remote import AnyPath
from reactface_jax.errors import UserError
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE

VERSION = "1.0.0"  # of the shards' format; the loader refuses others
DESCRIPTION = "description.json"


def checksum(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as the description lists them."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def describe(**content: Any) -> dict[str, Any]:
    """The description of a shard set, from what its writer knows: see docs/data.md for the fields."""
    packages = ("reactface-jax", "tensorflow-datasets", "array_record", "pillow", "av", "soxr")
    return {
        "format": "react2023",
        "version": VERSION,
        "writer": {name: importlib.metadata.version(name) for name in packages},
        "frame_rate": FRAME_RATE,
        "sample_rate": SAMPLE_RATE,
        **content,
    }


def read_description(folder: AnyPath) -> dict[str, Any]:
    """Reads a shard set's description, and checks that it is whole and that its files are there.

    The tables are held against their checksums here. The shards are not, which would take minutes before every
    training: ArrayRecord checks each record when it is read, and `prepare verify` reads everything.

    Raises:
      UserError: there is no shard set, it is of another version, its description contradicts itself, or a file is
        missing, cut off or damaged.
    """
    path = folder / DESCRIPTION
    write = f"write it with `python -m data_pipeline.prepare shards --raw ROOT --out {folder}`"
    if not path.is_file():
        raise UserError(f"{folder} is not a shard set: it has no {DESCRIPTION}; {write}")
    try:
        description = json.loads(path.read_bytes())
        version = description["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read; copy the shard set again, or {write}") from error
    if version != VERSION:
        raise UserError(f"{folder} has version {version} of the shards' format, not {VERSION}; {write} --overwrite")
    try:
        wrong = _contradiction(description)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wrong = f"it lacks {error}" if isinstance(error, KeyError) else f"a field is of the wrong kind ({error})"
    if wrong:
        raise UserError(f"{path} is damaged: {wrong}; copy the shard set again, or {write} --overwrite")
    for name, expected in description["files"].items():
        file = folder / name
        size = len_of(file) if file.is_file() else None
        if size != expected["bytes"]:
            state = "is missing" if size is None else f"has {size} bytes, not {expected['bytes']}"
            raise UserError(f"shard file {file} {state}; copy it again, or {write} --overwrite")
    if isinstance(folder, Path):
        _check_tables(folder, description)
    return description


def len_of(file: AnyPath) -> int:
    """Size of a file (bytes)."""
    return file.stat().st_size if isinstance(file, Path) else int(file.stat().length)


def shards_of(description: dict[str, Any], split: str) -> list[str]:
    """Names of a split's shards, in order."""
    return sorted(name for name in description["files"] if is_shard(name) and f"-{split}." in name)


def is_shard(name: str) -> bool:
    """Whether a file of the set holds examples."""
    return ".array_record-" in name


def _contradiction(description: dict[str, Any]) -> str:
    """What in a description can't be, in words; empty when all is well."""
    names = description["coefficient_names"]
    if len(set(names)) != NUM_COEFFICIENTS:
        return f"coefficient_names are not {NUM_COEFFICIENTS} different names"
    for name in ("mean_face", "std_face"):
        if not (np.shape(description[name]) == (NUM_COEFFICIENTS,) and np.isfinite(description[name]).all()):
            return f"{name} is not {NUM_COEFFICIENTS} finite numbers"
    if min(description["std_face"]) < 0:
        return "std_face has negative numbers"
    size = description["frame_size"]  # 0, 0: no pictures
    if np.shape(size) != (2,) or (min(size) < 1 and any(size)):
        return "frame_size is not a height and a width"
    if not description["splits"]:
        return "it has no split"
    for name, split in description["splits"].items():
        counts = {split["clips"], len(split["frames"]), len(split["clip_ids"])}
        if len(counts) > 1 or split["clips"] % 2 or not split["clips"]:
            return f"the clips of {name} are counted as {' and '.join(map(str, sorted(counts)))}"
        if min(split["frames"]) < 1:
            return f"a clip of {name} has no frames"
        needed = {f"coefficients_{name}.npy", f"appropriateness_{name}.npy"} - set(description["files"])
        if needed or not shards_of(description, name):
            return f"it does not list {' and '.join(sorted(needed)) or f'the shards of {name}'}"
    return ""


def _check_tables(folder: Path, description: dict[str, Any]) -> None:
    """Everything but the shards against its checksum, and the tables' shapes against the counts."""
    for name, expected in description["files"].items():
        if not is_shard(name) and checksum(folder / name) != expected:
            raise damaged(folder / name)
    for name, split in description["splits"].items():
        clips = split["clips"]
        table = np.load(folder / f"coefficients_{name}.npy", mmap_mode="r", allow_pickle=False)
        matrix = np.load(folder / f"appropriateness_{name}.npy", mmap_mode="r", allow_pickle=False)
        if matrix.shape != (clips, clips) or len(table) != clips or table.shape[1] < max(split["frames"]):
            raise UserError(
                f"the tables of {name} in {folder} have shapes {table.shape} and {matrix.shape}, but it has {clips} "
                "clips; write the shard set anew"
            )


def damaged(path: AnyPath) -> UserError:
    """For a file whose checksum is another."""
    return UserError(f"{path} is damaged: its checksum is another; copy it again, or write the shards anew")
