"""Where recordings are cut into pieces: stretches in which one of the two mostly talks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from reactface_jax.errors import UserError
from reactface_jax.types import FRAME_RATE

_LEAST_TALK = 0.1
"""Share of a piece in which somebody must talk."""


@dataclass(frozen=True)
class Cutting:
    """How recordings are cut, and which pieces are kept."""

    piece_seconds: float = 30.0
    min_seconds: float = 10.24
    """Of a rest at the end; the default is the 256 frames that training crops."""
    mostly: float = 0.6
    """Share of all talk that has to be one person's."""
    min_seen: float = 0.9
    """Share of the frames in which each face has to be seen, or be interpolated over half a second at most."""
    max_apart: float = 1.0
    """By how much (s) the lengths of the files of one conversation may differ."""

    def __post_init__(self) -> None:
        if not self.piece_seconds * FRAME_RATE < float("inf"):
            raise UserError(f"--piece-seconds {self.piece_seconds:g} is no length of a piece; give seconds, such as 30")
        if not 1 / FRAME_RATE <= self.min_seconds <= self.piece_seconds:
            raise UserError(
                f"--min-seconds {self.min_seconds:g} must be above 0 and at most --piece-seconds {self.piece_seconds:g}"
            )
        for name, share, least in (("mostly", self.mostly, 0.5), ("min-seen", self.min_seen, 0.0)):
            if not least <= share <= 1:
                raise UserError(f"--{name} {share:g} must be between {least:g} and 1")
        if not self.max_apart >= 0:
            raise UserError(f"--max-apart {self.max_apart:g} must be 0 or more")


@dataclass(frozen=True)
class Cut:
    """A stretch of a conversation, in frames of 25 a second."""

    start: int
    num_frames: int
    talker: int
    """0 or 1: who of the two mostly talks."""
    reason: str = ""
    """Why it is left out."""


def cut(
    num_frames: int, speaks: tuple[Bool[np.ndarray, "_"], Bool[np.ndarray, "_"]] | None, cutting: Cutting
) -> list[Cut]:
    """Cuts a conversation from its beginning on.

    Args:
      num_frames: of what both recordings have.
      speaks: when each of the two speaks; None: the first is taken for the talker, because nobody knows.
      cutting: the lengths and shares.
    """
    longest, shortest = round(cutting.piece_seconds * FRAME_RATE), round(cutting.min_seconds * FRAME_RATE)
    cuts = []
    for start in range(0, num_frames, longest):
        length = min(longest, num_frames - start)
        if length < shortest:
            continue
        if speaks is None:
            cuts.append(Cut(start, length, 0))
            continue
        talk = [float(one[start : start + length].sum()) for one in speaks]
        talker = int(talk[1] > talk[0])
        reason = ""
        if sum(talk) < _LEAST_TALK * length:
            reason = "nobody talks in it"
        elif talk[talker] < cutting.mostly * sum(talk):
            reason = "both talk in it"
        cuts.append(Cut(start, length, talker, reason))
    return cuts
