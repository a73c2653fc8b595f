"""REACT2023's tree as a reader: each row of a csv is a piece."""

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.raw_tree.clip_arrays import read_coefficient_names, read_coefficients, read_statistics
from data_pipeline.raw_tree.clips import read_clip
from data_pipeline.raw_tree.react2023 import Person, Split, list_splits, neighbours
from data_pipeline.raw_tree.reader import Known, Piece, Pieces, ReadPiece, Statistics, Tracks
from data_pipeline.shards.remote import AnyPath, fetched
from reactface_jax.errors import UserError

_FILES = ("video", "audio", "coefficients", "attributes")


@dataclass(frozen=True)
class PairOfFiles:
    """The files of two people."""

    speaker: Person
    listener: Person

    @property
    def ids(self) -> tuple[str, str]:
        return self.speaker.id, self.listener.id

    def stamp(self) -> list[object]:
        """Ids, and size and time of every file."""
        files = [stamp_of(getattr(person, kind)) for person in (self.speaker, self.listener) for kind in _FILES]
        return [*self.ids, files]

    def read(self) -> ReadPiece:
        """Raises `UserError` when a file is damaged, or can't be fetched."""
        with _here(self.speaker) as one, _here(self.listener) as other:
            return ReadPiece((read_clip(one, other), read_clip(other, one)))


@dataclass(frozen=True)
class React2023Reader:
    """A tree of REACT2023's form, as data_pipeline/raw_tree/react2023.py describes it."""

    root: AnyPath

    def splits(self) -> list[Pieces]:
        """Raises `UserError` when a split has no usable row, or none can be normalised."""
        splits = list_splits(self.root)
        read_coefficient_names(self.root)
        if read_statistics(self.root) is None and "train" not in {split.name for split in splits}:
            raise UserError(f"{self.root} has neither train.csv nor mean_face.npy and std_face.npy; add one of them")
        return [_pieces(split) for split in splits]

    def tracks(self, piece: Piece) -> Tracks:
        """Raises `UserError` when a file is damaged."""
        assert isinstance(piece, PairOfFiles)
        return read_coefficients(piece.speaker.coefficients), read_coefficients(piece.listener.coefficients)

    def appropriate(self, split: Pieces) -> Known:
        """Raises `UserError` when the tree's matrix does not fit the split."""
        pairs = [(piece.speaker, piece.listener) for piece in split.pieces if isinstance(piece, PairOfFiles)]
        return Known(*neighbours(self.root, Split(split.name, pairs, split.rows, split.num_rows, split.left_out)))

    def coefficient_names(self) -> list[str]:
        return read_coefficient_names(self.root)

    def statistics(self) -> Statistics | None:
        return read_statistics(self.root)

    def form(self) -> None:
        return None


def _pieces(split: Split) -> Pieces:
    pieces = [PairOfFiles(speaker, listener) for speaker, listener in split.pairs]
    return Pieces(split.name, pieces, split.rows, split.num_rows, split.left_out)


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


def stamp_of(path: AnyPath | None) -> list[object] | None:
    """Size and time of a file, or of each in a folder, as far as its storage knows them."""
    if path is None:
        return None
    try:
        state = path.stat()
        if isinstance(path, Path) and stat.S_ISDIR(state.st_mode):  # a picture may change and its folder's time not
            with os.scandir(path) as entries:
                files = [(entry.name, entry.stat()) for entry in entries]
            return [[name, file.st_size, file.st_mtime_ns] for name, file in sorted(files)]
    except Exception:  # a folder in a bucket has no state of its own
        return []
    return [getattr(state, name, None) for name in ("st_size", "st_mtime_ns", "length", "mtime")]
