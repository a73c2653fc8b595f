"""What the page shows beyond the tables, and the choice of clips that it plays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from reactface_jax.evaluation.attention_maps import AttentionMap
from reactface_jax.evaluation.page.head import PageHead
from reactface_jax.evaluation.page.packing import Track
from reactface_jax.evaluation.rows import Row
from reactface_jax.types import Clips

MOST_REACTIONS = 10
"""Of a clip and method that are played."""
MOST_NEIGHBOURS = 8
"""Appropriate reactions whose curves are shown, at half the frame rate."""

Why = Literal["best", "worst", "drawn"]


@dataclass(frozen=True)
class Shown:
    """A clip that the page plays."""

    index: int
    why: Why
    """By the FRCorr of the row which the others are compared with, or drawn at random."""
    recording: bytes | None = None
    """mp4 of the speaker and, beside him, the real listener, with the speaker's voice."""


@dataclass(frozen=True)
class Contents:
    """Everything that the page plays and draws."""

    clips: Clips
    reactions: Mapping[str, Float[np.ndarray, "N K T C"]]
    """By method; raw."""
    shown: Sequence[Shown]
    head: PageHead | None = None
    no_head: str = ""
    """Why there is none."""
    attention: Sequence[AttentionMap] = field(default_factory=tuple)


def choose_clips(row: Row, count: int, seed: int) -> list[tuple[int, Why]]:
    """A third of the clips with the highest FRCorr, a third with the lowest, the rest drawn; each once."""
    assert row.measured is not None
    scores = row.measured.concordance.varying_channels.mean(1)
    order = [int(i) for i in np.argsort(-scores, kind="stable")]
    count = min(count, len(order))
    extreme = (count + 2) // 3
    best = order[:extreme]
    worst = [i for i in order[::-1] if i not in best][: min(extreme, count - len(best))]
    rest = [i for i in np.random.default_rng(seed).permutation(len(order)).tolist() if i not in (*best, *worst)]
    drawn = sorted(rest[: count - len(best) - len(worst)])
    chosen: list[tuple[int, Why]] = [(i, "best") for i in best]
    return chosen + [(i, "drawn") for i in drawn] + [(i, "worst") for i in reversed(worst)]


def tracks_of(contents: Contents, index: int) -> Iterator[Track]:
    """The faces of a clip: speaker, real listener, reactions of every method, and some appropriate reactions."""
    clips = contents.clips
    yield Track("speaker", "Speaker", clips.speaker[index])
    yield Track("listener", "Real listener", clips.listener[index])
    for method, reactions in contents.reactions.items():
        for k, reaction in enumerate(reactions[index, :MOST_REACTIONS]):
            yield Track("reaction", f"Reaction {k + 1}", reaction, method)
    others = [int(j) for j in np.flatnonzero(clips.neighbours[index]) if j != index]
    for j in others[:MOST_NEIGHBOURS]:
        yield Track("neighbour", str(clips.clip_ids[j]), clips.listener[j], stride=2)
