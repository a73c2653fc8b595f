"""Pieces of a form of data, decoded and encoded aside one by one: what a killed run has done is kept.

    <folder>/<split>-<row>.json       how it went; written last, so where it is, the piece is done
    <folder>/<split>-<row>-0.npz      the clip of the piece's speaker
    <folder>/<split>-<row>-1.npz      the same piece with the roles swapped
    <folder>/<split>-<row>-tables.npz what stays when the clips have gone into shards: coefficients that were measured,
                                      and what is kept beside the examples

Knows no TensorFlow, so that worker processes start quickly.
"""

import hashlib
import io
import itertools
import json
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np

from data_pipeline.raw_tree.clips import JPEG_QUALITY, Clip
from data_pipeline.raw_tree.reader import NotUsable, Piece, ReadPiece, Tables, Tracks
from data_pipeline.shards.description import VERSION
from data_pipeline.shards.remote import AnyPath, FetchError, write_bytes
from reactface_jax.array_reading import npz_from_bytes
from reactface_jax.errors import UserError


class Encoded(TypedDict):
    """How encoding a piece went: why it can't be used, or each clip's number of frames and size (height, width).

    And the number of columns of what is kept beside each clip, by name.
    """

    key: str
    damage: NotRequired[str]
    not_usable: NotRequired[str]
    frames: NotRequired[list[int]]
    sizes: NotRequired[list[list[int]]]
    widths: NotRequired[list[dict[str, int]]]


@dataclass(frozen=True)
class EncodePair:
    """The work of one row: both directions of a piece."""

    folder: AnyPath
    split: str
    row: int  # as `Pieces.rows`, counted from 0
    piece: Piece

    def part(self, direction: int) -> AnyPath:
        """File of the piece's clip; direction 1 has the roles swapped."""
        return self.folder / f"{self.split}-{self.row:05d}-{direction}.npz"

    @property
    def marker(self) -> AnyPath:
        return self.folder / f"{self.split}-{self.row:05d}.json"

    @property
    def tables_file(self) -> AnyPath:
        return self.folder / f"{self.split}-{self.row:05d}-tables.npz"

    def key(self) -> str:
        """Changes when another version would write other bytes, or a file has changed since."""
        content = json.dumps([VERSION, JPEG_QUALITY, *self.piece.stamp()])
        return hashlib.sha256(content.encode()).hexdigest()

    def run(self) -> None:
        """Encodes both clips. A damaged file becomes part of the result; a failing bucket is an error."""
        result = Encoded(key=self.key())
        try:
            found = self.piece.read()
        except FetchError:
            raise
        except NotUsable as error:
            result["not_usable"] = str(error)
        except UserError as error:
            result["damage"] = str(error)
        else:
            for direction, clip in enumerate(found.clips):
                write_bytes(self.part(direction), _pack(clip))
            if found.measured:
                write_bytes(self.tables_file, _pack_tables(found))
            result["frames"] = [len(clip.speaker) for clip in found.clips]
            result["sizes"] = [list(clip.size) for clip in found.clips]
            result["widths"] = [{kind: t.shape[1] for kind, t in tables.items()} for tables in found.tables]
        write_bytes(self.marker, json.dumps(result).encode())

    def result(self) -> Encoded | None:
        """What `run` found. None if it has not run, or for files that have changed since."""
        try:
            found: Encoded = json.loads(self.marker.read_bytes())
            is_of_these = found["key"] == self.key()
        except Exception:  # absent, damaged, or of a kind of storage with its own exceptions
            return None
        return found if is_of_these else None

    def earlier(self) -> Encoded | None:
        """`result` of an earlier run. None for damage, too: what was in the way need not lie in the files."""
        found = self.result()
        return None if found is None or "damage" in found else found


def read_part(path: AnyPath) -> Clip:
    """A clip that `EncodePair.run` has put aside; without ids."""
    content = path.read_bytes()
    advice = "remove it and start again"
    arrays = npz_from_bytes(content, most_bytes=2 * len(content), name=str(path), advice=advice)
    ends = np.cumsum(arrays["lengths"]).tolist()
    jpegs = arrays["frames"].tobytes()
    fields = {name: arrays[name] for name in _ARRAYS}
    return Clip(
        speaker_id="",
        listener_id="",
        frames=[jpegs[begin:end] for begin, end in itertools.pairwise([0, *ends])],
        size=(int(arrays["size"][0]), int(arrays["size"][1])),
        portrait=arrays["portrait"].tobytes(),
        **fields,
    )


_ARRAYS = ("audio", "speaker", "listener", "speaker_attributes", "listener_attributes")


def _pack(clip: Clip) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        lengths=np.array([len(jpeg) for jpeg in clip.frames]),
        frames=np.frombuffer(b"".join(clip.frames), np.uint8),
        size=np.array(clip.size),
        portrait=np.frombuffer(clip.portrait, np.uint8),
        **{name: getattr(clip, name) for name in _ARRAYS},
    )
    return buffer.getvalue()


def _pack_tables(found: ReadPiece) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"0": found.clips[0].speaker, "1": found.clips[0].listener}
    arrays |= {f"{d}.{name}": table for d, tables in enumerate(found.tables) for name, table in tables.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_tables(path: AnyPath) -> tuple[Tracks, tuple[Tables, Tables]]:
    """Coefficients of both people, and what is kept of each beside them: what `EncodePair.run` has put aside."""
    content = path.read_bytes()
    arrays = npz_from_bytes(content, most_bytes=2 * len(content), name=str(path), advice="remove it and start again")
    tables: tuple[Tables, Tables] = ({}, {})
    for name, table in arrays.items():
        direction, _, kind = name.partition(".")
        if kind:
            tables[int(direction)][kind] = table
    return (arrays["0"], arrays["1"]), tables
