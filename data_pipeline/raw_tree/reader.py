"""What writing shards asks of a form of data: its pieces by split, what is left out and why, and how to read a piece.

A piece is two people for a while, from which two examples are made: each of them as speaker, the other as listener.
REACT2023's tree (`react2023_reader`) and the forms of `data_pipeline/open_data` are readers; encoding, description,
verify and loader are the same for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.raw_tree.clips import Clip
from data_pipeline.raw_tree.react2023 import LeftOut
from data_pipeline.shards.remote import AnyPath
from reactface_jax.errors import UserError

Tracks = tuple[Float[np.ndarray, "_ 58"], Float[np.ndarray, "_ 58"]]
"""Raw coefficients of a piece: the speaker's, the listener's."""

Tables = dict[str, Float[np.ndarray, "_ C"]]
"""What is kept of a person beside the examples, a row a frame, such as the confidence of the coefficients."""

Statistics = tuple[Float[np.ndarray, "58"], Float[np.ndarray, "58"]]
"""Mean and standard deviation of the coefficients."""


class NotUsable(UserError):
    """A piece that is whole but of no use, such as one without a face. Left out, and not counted as damage."""


@dataclass(frozen=True)
class ReadPiece:
    """Both directions of a piece."""

    clips: tuple[Clip, Clip]
    tables: tuple[Tables, Tables] = field(default_factory=lambda: ({}, {}))
    """Of the first clip's speaker, and of the second's."""
    measured: bool = False
    """Whether the coefficients were measured here, so that no file of the form has them."""


class Piece(Protocol):
    """Two people for a while. Pieces go to other processes and machines: they are small, and compare by value."""

    @property
    def ids(self) -> tuple[str, str]:
        """Of the speaker and of the listener, in this piece."""

    def stamp(self) -> list[object]:
        """What can be written as JSON and changes when `read` would return something else."""

    def read(self) -> ReadPiece:
        """Both directions. Raises `NotUsable`, or another `UserError` when a file is damaged."""


@dataclass(frozen=True)
class Pieces:
    """The usable pieces of a split."""

    name: str
    pieces: Sequence[Piece]
    rows: list[int]
    """The row of each piece among all that are listed, as the csv's in REACT2023."""
    num_rows: int
    left_out: list[LeftOut]

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Ids (speaker, listener) of every example: the pieces, then the same with the roles swapped."""
        ids = [piece.ids for piece in self.pieces]
        return ids + [(listener, speaker) for speaker, listener in ids]

    def only(self, kept: list[int]) -> "Pieces":
        """Some of the pieces, by their positions."""
        return replace(self, pieces=[self.pieces[i] for i in kept], rows=[self.rows[i] for i in kept])


class Appropriate(Protocol):
    """Which listeners of a split are appropriate reactions to which speakers."""

    def only(self, kept: list[int]) -> "Appropriate":
        """Of some of the split's pieces, by their positions."""

    def matrix(self, tracks: Sequence[Tracks]) -> tuple[Bool[np.ndarray, "N N"], str]:
        """[i, j]: listener j answers speaker i, over the directions of the pieces; and which rule made it, in words.

        Args:
          tracks: of every piece.
        """


@dataclass(frozen=True)
class Known:
    """A matrix that came with the data."""

    values: Bool[np.ndarray, "N N"]
    source: str

    def only(self, kept: list[int]) -> "Known":
        rows = directions_of(kept, len(self.values) // 2)
        return Known(self.values[np.ix_(rows, rows)], self.source)

    def matrix(self, tracks: Sequence[Tracks]) -> tuple[Bool[np.ndarray, "N N"], str]:
        return self.values, self.source


def directions_of(pieces: list[int], count: int) -> list[int]:
    """Rows of the directions of some of `count` pieces."""
    return pieces + [piece + count for piece in pieces]


class Reader(Protocol):
    """A form of data at a place."""

    @property
    def root(self) -> AnyPath:
        """Where the data lie: no shards are written there."""

    def splits(self) -> list[Pieces]:
        """Lists what there is. Raises `UserError` when nothing can be used."""

    def tracks(self, piece: Piece) -> Tracks | None:
        """Coefficients that lie there as files, read at once so that damage shows early; None: `read` measures them.

        Raises:
          UserError: a file is damaged.
        """

    def appropriate(self, split: Pieces) -> Appropriate:
        """Raises `UserError` when a matrix does not fit the split."""

    def coefficient_names(self) -> list[str]:
        """Names of the 58 coefficients."""

    def statistics(self) -> Statistics | None:
        """What the data say of themselves; None: the train split's are computed."""

    def form(self) -> dict[str, object] | None:
        """What the set's description says of the form and its settings, as JSON; None for REACT2023."""
