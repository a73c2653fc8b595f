"""Pairs of a raw tree, decoded and encoded aside one by one: what a killed run has done is kept.

    <folder>/<split>-<row>.json       how it went; written last, so where it is, the pair is done
    <folder>/<split>-<row>-0.npz      the clip of the csv's speaker
    <folder>/<split>-<row>-1.npz      the same pair with the roles swapped

Knows no TensorFlow, so that worker processes start quickly.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from data_pipeline.raw_tree.clips import JPEG_QUALITY, Clip, read_clip
from data_pipeline.raw_tree.react2023 import Person
from data_pipeline.shards.description import VERSION
from data_pipeline.shards.remote import AnyPath, FetchError, fetched, write_bytes
from reactface_jax.array_reading import npz_from_bytes
from reactface_jax.errors import UserError

_FILES = ("video", "audio", "coefficients", "attributes")


class Encoded(TypedDict):
    """How encoding a pair went: damage in words, or each clip's number of frames and size (height, width)."""

    key: str
    damage: NotRequired[str]
    frames: NotRequired[list[int]]
    sizes: NotRequired[list[list[int]]]


@dataclass(frozen=True)
class EncodePair:
    """The work of one row of a csv: both directions of a pair."""

    folder: AnyPath
    split: str
    row: int  # of the csv, counted from 0
    speaker: Person
    listener: Person

    def part(self, direction: int) -> AnyPath:
        """File of the pair's clip; direction 1 has the roles swapped."""
        return self.folder / f"{self.split}-{self.row:05d}-{direction}.npz"

    @property
    def marker(self) -> AnyPath:
        return self.folder / f"{self.split}-{self.row:05d}.json"

    def key(self) -> str:
        """Changes when another version would write other bytes, or a file has changed since."""
        files = [_stamp(getattr(person, kind)) for person in (self.speaker, self.listener) for kind in _FILES]
        content = json.dumps([VERSION, JPEG_QUALITY, self.speaker.id, self.listener.id, files])
        return hashlib.sha256(content.encode()).hexdigest()

    def run(self) -> None:
        """Encodes both clips. A damaged file becomes part of the result; a failing bucket is an error."""
        result = Encoded(key=self.key())
        try:
            with _here(self.speaker) as one, _here(self.listener) as other:
                clips = read_clip(one, other), read_clip(other, one)
        except FetchError:
            raise
        except UserError as error:
            result["damage"] = str(error)
        else:
            for direction, clip in enumerate(clips):
                write_bytes(self.part(direction), _pack(clip))
            result["frames"] = [len(clip.speaker) for clip in clips]
            result["sizes"] = [list(clip.size) for clip in clips]
        write_bytes(self.marker, json.dumps(result).encode())

    def result(self) -> Encoded | None:
        """What `run` found. None if it has not run, or for files that have changed since."""
        try:
            found: Encoded = json.loads(self.marker.read_bytes())
            is_of_these = found["key"] == self.key()
        except Exception:  # absent, damaged, or of a kind of storage with its own exceptions
            return None
        return found if is_of_these else None


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


@contextlib.contextmanager
def _here(person: Person) -> Iterator[Person]:
    """The person with files on this machine, if they are in a bucket; copies are gone afterwards."""
    with contextlib.ExitStack() as copies:
        yield dataclasses.replace(
            person,
            video=person.video and copies.enter_context(fetched(person.video)),
            audio=copies.enter_context(fetched(person.audio)),
            coefficients=copies.enter_context(fetched(person.coefficients)),
            attributes=person.attributes and copies.enter_context(fetched(person.attributes)),
        )


def _stamp(path: AnyPath | None) -> list[object] | None:
    """Size and time of a file, as far as its storage knows them."""
    if path is None:
        return None
    try:
        state = path.stat()
    except Exception:  # a folder in a bucket has no state of its own
        return []
    return [getattr(state, name, None) for name in ("st_size", "st_mtime_ns", "length", "mtime")]
