"""The forms by name, and any of them as a reader that shards are written from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from data_pipeline.open_data.appropriate import NearInGroups, Paired, WholeGroups
from data_pipeline.open_data.cutting import Cutting, cut
from data_pipeline.open_data.dualtalk import NAMES as FLAME_NAMES
from data_pipeline.open_data.dualtalk import list_dualtalk
from data_pipeline.open_data.listing import Conversation, Lister, Listing
from data_pipeline.open_data.mars import RULE as MARS_RULE
from data_pipeline.open_data.mars import list_mars
from data_pipeline.open_data.members import Members, list_members
from data_pipeline.open_data.pieces import OpenPiece, table_name
from data_pipeline.open_data.realtalk import list_realtalk
from data_pipeline.open_data.responsenet import list_responsenet
from data_pipeline.open_data.seamless import RULE as SEAMLESS_RULE
from data_pipeline.open_data.seamless import list_seamless
from data_pipeline.open_data.vico import list_vico
from data_pipeline.raw_tree.react2023 import LeftOut
from data_pipeline.raw_tree.reader import Appropriate, Piece, Pieces, Statistics, Tracks
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.types import FRAME_RATE, NUM_EXPRESSION

Rule = Literal["paired", "whole groups", "near in groups"]

_FACEVERSE = [f"expression_{i:02d}" for i in range(NUM_EXPRESSION)] + list(COEFFICIENT_NAMES[NUM_EXPRESSION:])


@dataclass(frozen=True)
class Form:
    """A form of data."""

    title: str
    lister: Lister
    rule: Rule = "paired"
    rule_in_words: str = ""
    names: tuple[str, ...] = COEFFICIENT_NAMES
    """Of the 58 coefficients."""


FORMS: Mapping[str, Form] = {
    "seamless": Form("Seamless Interaction", list_seamless, "near in groups", SEAMLESS_RULE),
    "mars": Form("MARS", list_mars, "whole groups", MARS_RULE, tuple(_FACEVERSE)),
    "vico": Form("ViCo", list_vico),
    "realtalk": Form("RealTalk", list_realtalk),
    "responsenet": Form("ResponseNet", list_responsenet),
    "dualtalk": Form("DualTalk", list_dualtalk, names=tuple(FLAME_NAMES)),
}


@dataclass
class OpenReader:
    """A data set of one of `FORMS` on this machine."""

    root: Path
    name: str
    """Of the form."""
    cutting: Cutting = field(default_factory=Cutting)
    keep: tuple[str, ...] = ()
    mean_degree: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.mean_degree < float("inf"):
            raise UserError(f"--mean-degree {self.mean_degree:g} must be 1 or more")
        files: dict[str, str] = {}
        for name in self.keep:
            file = f"{table_name(name)}_<split>.npy"
            if (other := files.setdefault(file, name)) != name:
                raise UserError(f"--keep {other} {name}: both would be {file}; keep one of them")

    @property
    def chosen(self) -> Form:
        return FORMS[self.name]

    @cached_property
    def members(self) -> Members:
        """All files. Raises `UserError` when there are none."""
        return list_members(self.root)

    @cached_property
    def listing(self) -> Listing:
        """All conversations. Raises `UserError` when there are none of this form."""
        listing = self.chosen.lister(self.members, self.root, self.cutting, self.keep)
        if not listing.conversations:
            first = f"; the first: {listing.refused[0].reason}" if listing.refused else ""
            raise UserError(
                f"{self.root} has no conversation of {self.chosen.title}'s form that can be used: "
                f"{len(listing.refused)} are left out{first}; see docs/data.md for the form"
            )
        return listing

    @cached_property
    def _cut(self) -> dict[str, tuple[Pieces, list[Conversation]]]:
        """Pieces of each split, and the conversation that each is of."""
        found: dict[str, tuple[Pieces, list[Conversation]]] = {}
        splits = sorted(
            {one.split for one in self.listing.conversations} | {one.split for one in self.listing.refused},
            key=lambda name: (["train", "val", "test"].index(name) if name in ("train", "val", "test") else 3, name),
        )
        for split in splits:
            pieces: list[Piece] = []
            rows: list[int] = []
            left_out: list[LeftOut] = []
            origins: list[Conversation] = []
            row = 0
            for conversation in (one for one in self.listing.conversations if one.split == split):
                for stretch in cut(conversation.num_frames, conversation.speaks, self.cutting):
                    people = conversation.people if stretch.talker == 0 else conversation.people[::-1]
                    piece = OpenPiece(people, stretch.start, stretch.num_frames, self.cutting.min_seen)
                    if stretch.reason:
                        left_out.append(LeftOut(row, *piece.ids, stretch.reason))
                    else:
                        pieces.append(piece)
                        rows.append(row)
                        origins.append(conversation)
                    row += 1
            for refused in (one for one in self.listing.refused if one.split == split):
                left_out.append(LeftOut(row, refused.speaker, refused.listener, refused.reason))
                row += 1
            found[split] = Pieces(split, pieces, rows, row, left_out), origins
        if not any(one.pieces for one, _ in found.values()):
            raise UserError(f"{self.root} has no piece in which one person mostly talks; give a smaller --mostly")
        return found

    def all_splits(self) -> list[Pieces]:
        """Also those of which nothing can be used. Raises `UserError` when that is so of all."""
        return [pieces for pieces, _ in self._cut.values()]

    def splits(self) -> list[Pieces]:
        """Those with pieces. Raises `UserError` when there are none, or no training split to normalise by."""
        usable = [split for split in self.all_splits() if split.pieces]
        if "train" not in [split.name for split in usable]:
            raise UserError(
                f"{self.root} has no usable piece of the train split, whose statistics the set needs: it has "
                f"{', '.join(split.name for split in usable)}; add some of it"
            )
        return usable

    def tracks(self, piece: Piece) -> Tracks | None:
        return None

    def appropriate(self, split: Pieces) -> Appropriate:
        origins = self._cut[split.name][1]
        if self.chosen.rule == "paired":
            return Paired(len(split.pieces))
        if self.chosen.rule == "whole groups":
            starts = [piece.start / FRAME_RATE for piece in split.pieces if isinstance(piece, OpenPiece)]
            groups = [f"{one.group} {start:g}" for one, start in zip(origins, starts, strict=True)]
            return WholeGroups(tuple(groups), self.chosen.rule_in_words)
        groups = [one.group for one in origins]
        conversations = [one.name for one in origins]
        return NearInGroups(tuple(groups), tuple(conversations), self.mean_degree, self.chosen.rule_in_words)

    def coefficient_names(self) -> list[str]:
        return list(self.chosen.names)

    def statistics(self) -> Statistics | None:
        return None

    def form(self) -> dict[str, object]:
        """The form's name, how pieces were cut, and how often each thing worth saying holds."""
        return {
            "name": self.name,
            **asdict(self.cutting),
            "mean_degree": self.mean_degree,
            "kept": list(self.keep),
            "damaged_tars": list(self.members.damaged.values()),
            "coefficients": "the data set's own" if self.name in ("mars", "dualtalk") else "measured by MediaPipe",
            "notes": dict(sorted(self.listing.notes.items())),
        }
