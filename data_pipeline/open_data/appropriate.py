"""Which listeners are appropriate, where a form says something of it: each rule with its name for the description."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.labels.appropriateness import standardised
from data_pipeline.raw_tree.reader import Tracks
from reactface_jax.metrics.dtw_pairs import Term, closest_pairs

_AVERAGED = 5
"""Frames that are averaged before warping."""


@dataclass(frozen=True)
class Paired:
    """Nothing is known but who answered whom."""

    count: int
    """Pieces."""

    def only(self, kept: list[int]) -> "Paired":
        return Paired(len(kept))

    def matrix(self, tracks: Sequence[Tracks]) -> tuple[Bool[np.ndarray, "N N"], str]:
        return np.eye(2 * self.count, dtype=bool), "paired: each clip's own listener only"


@dataclass(frozen=True)
class WholeGroups:
    """All listeners of a group answer all its speakers; the two roles are groups of their own."""

    groups: tuple[str, ...]
    """Of each piece."""
    rule: str

    def only(self, kept: list[int]) -> "WholeGroups":
        return WholeGroups(tuple(self.groups[i] for i in kept), self.rule)

    def matrix(self, tracks: Sequence[Tracks]) -> tuple[Bool[np.ndarray, "N N"], str]:
        names = np.array([f"{role} {group}" for role in range(2) for group in self.groups])
        return names[:, None] == names[None], self.rule


@dataclass(frozen=True)
class NearInGroups:
    """Listeners of other conversations of a group whose speakers behave alike; the two roles are groups of their own.

    Behaviour is near by the dynamic time warping of `prepare labels --source coefficients`, and the closest pairs of
    all groups together count, until a clip has `mean_degree` appropriate reactions on average, or none is left.
    """

    groups: tuple[str, ...]
    """Of each piece."""
    conversations: tuple[str, ...]
    """Of each piece: two pieces of one conversation are never each other's answers."""
    mean_degree: float
    rule: str

    def only(self, kept: list[int]) -> "NearInGroups":
        groups, conversations = (tuple(names[i] for i in kept) for names in (self.groups, self.conversations))
        return NearInGroups(groups, conversations, self.mean_degree, self.rule)

    def matrix(self, tracks: Sequence[Tracks]) -> tuple[Bool[np.ndarray, "N N"], str]:
        total = 2 * len(self.groups)
        matrix = np.eye(total, dtype=bool)
        wanted = round((self.mean_degree - 1) * total / 2)
        rows, columns, distances = self._distances(tracks) if wanted > 0 else ([], [], [])
        nearest = np.argsort(np.array(distances), kind="stable")[:wanted]
        limit = ""
        if len(nearest):
            ones, others = np.array(rows)[nearest], np.array(columns)[nearest]
            matrix[ones, others] = matrix[others, ones] = True
            limit = f", up to a distance of {distances[nearest[-1]]:.4g}"
        mean = matrix.sum() / total
        return matrix, f"{self.rule}: {mean:.1f} a clip on average{limit}"

    def _distances(self, tracks: Sequence[Tracks]) -> tuple[list[int], list[int], list[float]]:
        """Directions (two lists) of the pairs that a rule allows, and how far they are from each other."""
        members: dict[str, list[int]] = {}
        for direction in range(2 * len(self.groups)):
            role, piece = divmod(direction, len(self.groups))
            members.setdefault(f"{role} {self.groups[piece]}", []).append(direction)
        shared = {name: one for name, one in members.items() if self._allowed(one).any()}
        if not shared:
            return [], [], []
        sequences = standardised(_Speakers(tracks), _AVERAGED)
        rows: list[int] = []
        columns: list[int] = []
        distances: list[float] = []
        for _, group in sorted(shared.items()):
            allowed = self._allowed(group)
            excluded = np.argwhere(np.triu(~allowed, 1)).reshape(-1, 2)
            term = Term([sequences[direction] for direction in group], 1.0)
            found, _ = closest_pairs([term], int(np.triu(allowed, 1).sum()), excluded)
            for one, other in np.argwhere(np.isfinite(np.triu(found, 1)) & np.triu(allowed, 1)):
                rows.append(group[one])
                columns.append(group[other])
                distances.append(float(found[one, other]))
        return rows, columns, distances

    def _allowed(self, group: list[int]) -> Bool[np.ndarray, "G G"]:
        names = np.array([self.conversations[direction % len(self.conversations)] for direction in group])
        return names[:, None] != names[None]


@dataclass(frozen=True)
class _Speakers(Sequence[Float[np.ndarray, "_ 58"]]):
    """The speaker's coefficients of each direction."""

    tracks: Sequence[Tracks]

    def __len__(self) -> int:
        return 2 * len(self.tracks)

    def __getitem__(self, direction):  # type: ignore[no-untyped-def]  # an overload a kind of index says no more
        if direction >= len(self):
            raise IndexError(direction)
        role, piece = divmod(direction, len(self.tracks))
        return self.tracks[piece][role]
