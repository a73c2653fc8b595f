"""Which of the speaker's events a reaction answers, when, and what it does without any cause.

Correlation hardly knows the difference between an answer and a slow drift, and its lag is flat over half a dozen
frames; single events can be counted. In made conversations they are planted; in others they are the onsets of the same
movements in the speaker's own channels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float

from reactface_jax.metrics.ratio import Ratio
from reactface_jax.types import FRAME_RATE

FIRST, LAST = 6, 14
"""An answer lies between so many frames after an event's start and so many after its end."""


class Sign(NamedTuple):
    """The movement that answers a kind of event."""

    channels: tuple[str, ...]
    """Starts of the channels' names; their mean is looked at."""
    rise: float
    """By which it must rise: of a coefficient, or radians."""
    sided: bool = False
    """Whether it has the event's direction."""
    shown: bool = True
    """Whether the speaker makes the same movement, so that the delay of the peaks can be taken."""
    also: tuple[str, ...] = ()
    """Other kinds of events that explain the movement, though they need not cause it."""


SIGNS: Mapping[str, Sign] = {
    "smile": Sign(("mouthSmile",), 0.15),
    "brow_raise": Sign(("browInnerUp", "browOuterUp"), 0.15, also=("emphasis", "question")),
    "frown": Sign(("browDown",), 0.15),
    "turn": Sign(("rotation_y",), 0.07, sided=True),
    "emphasis": Sign(("rotation_x",), 0.07, shown=False),
    "pause": Sign(("rotation_x",), 0.07, shown=False),
}
"""Smiles, raised brows and frowns are returned, turns followed, emphasis and pauses nodded at."""
FACIAL = ("smile", "brow_raise", "frown")
"""Kinds whose rises are looked for where nothing is planted, and which count as uncalled without a cause."""


class Event(NamedTuple):
    """Something that a person does."""

    kind: str
    start: int
    """First frame."""
    length: int
    side: int = 1
    """Of a turn: the sign of the rotation."""


Events = Sequence[Sequence[Event]]
"""Of each clip's person."""


class Answered(NamedTuple):
    """Over clips, each with its own share of numerator and denominator."""

    shares: dict[str, Ratio]
    """By kind: of events times reactions, those that are answered."""
    delay: Ratio
    """Frames from the speaker's peak to the reaction's, of answered facial events and turns."""
    squared_delay: Ratio
    uncalled: Ratio
    """Rises of facial channels a second that no event of either person explains; undefined without such a channel."""

    def delay_deviation(self) -> float:
        """Standard deviation of the delay (frames)."""
        mean = self.delay.value()
        return math.sqrt(max(self.squared_delay.value() - mean**2, 0.0)) if not math.isnan(mean) else math.nan


def answered(
    prediction: Float[np.ndarray, "N K T C"],
    speaker: Float[np.ndarray, "N T C"],
    names: Sequence[str],
    events: Events,
    others: Events,
) -> Answered:
    """Looks for the answers to each of the speaker's events.

    An event whose window of answers ends after the clip is left out.

    Args:
        prediction: K reactions to each of N clips.
        speaker: the speakers.
        names: of the channels; kinds of which a channel is missing are left out.
        events: of the speakers.
        others: what explains a rise too, but need not be answered: what the real listeners do of their own accord, and
            speakers outside their floor.
    """
    count, reactions, frames = prediction.shape[:3]
    signs = {kind: columns for kind, sign in SIGNS.items() if (columns := columns_of(sign, names))}
    shares = {kind: Ratio(np.zeros(count), np.zeros(count)) for kind in signs}
    delay, squared = (Ratio(np.zeros(count), np.zeros(count)) for _ in range(2))
    seconds = reactions * frames / FRAME_RATE if signs.keys() & set(FACIAL) else 0.0
    uncalled = Ratio(np.zeros(count), np.full(count, seconds))
    for i in range(count):
        reaction = {kind: prediction[i][..., columns].mean(-1, dtype=np.float64) for kind, columns in signs.items()}
        shown = {kind: speaker[i][:, columns].mean(-1, dtype=np.float64) for kind, columns in signs.items()}
        for event in events[i]:
            window = slice(event.start + FIRST, event.start + event.length + LAST + 1)
            if event.kind not in signs or window.stop > frames:
                continue
            sign = SIGNS[event.kind]
            direction = event.side if sign.sided else 1
            course = direction * reaction[event.kind][:, window]
            rises = (course - np.minimum.accumulate(course, axis=1)).max(axis=1) >= sign.rise
            shares[event.kind].total[i] += rises.sum()
            shares[event.kind].weight[i] += reactions
            if sign.shown:
                own_course = direction * shown[event.kind][event.start : event.start + event.length]
                delays = window.start + course[rises].argmax(axis=1) - event.start - own_course.argmax()
                for kept, values in ((delay, delays), (squared, delays**2)):
                    kept.total[i] += values.sum()
                    kept.weight[i] += len(values)
        for kind in FACIAL:
            causes = [e for e in (*events[i], *others[i]) if e.kind in (kind, *SIGNS[kind].also)]
            first, last = (np.array([e.start + plus * (e.length + LAST) for e in causes]) for plus in (0, 1))
            for course in reaction[kind] if kind in signs else ():
                peaks = rises_of(course, SIGNS[kind].rise)[:, 1, None]
                uncalled.total[i] += (~((first <= peaks) & (peaks <= last)).any(axis=1)).sum()
    return Answered(shares, delay, squared, uncalled)


def found_events(
    person: Float[np.ndarray, "N T C"], names: Sequence[str], listening: Bool[np.ndarray, "N T"] | None = None
) -> list[list[Event]]:
    """Facial events of people of whom nothing is known: each lasts from a rise's foot to twice the way to its top.

    Args:
        person: speakers, or listeners.
        names: of the channels.
        listening: only events are kept whose answer would begin while the other person listens.
    """
    signs = {kind: columns for kind in FACIAL if (columns := columns_of(SIGNS[kind], names))}
    found = []
    for i, clip in enumerate(person):
        kept = np.ones(len(clip), bool) if listening is None else listening[i]
        events = [
            Event(kind, int(foot), int(2 * (top - foot)))
            for kind, columns in signs.items()
            for foot, top in rises_of(clip[:, columns].mean(-1, dtype=np.float64), SIGNS[kind].rise)
            if kept[min(foot + FIRST, len(clip) - 1)]
        ]
        found.append(sorted(events, key=lambda event: event.start))
    return found


def columns_of(sign: Sign, names: Sequence[str]) -> list[int]:
    """Where a sign's channels are; empty if the data name none of them."""
    return [column for column, name in enumerate(names) if name.startswith(sign.channels)]


@no_type_check
@numba.njit(cache=True)
def _extremes(course, rise):
    """Feet and tops of all rises: the course must fall by as much before a new one counts."""
    found = np.empty((len(course) // 2 + 1, 2), np.int64)
    count, low, high, rising = 0, 0, 0, False
    for t in range(len(course)):
        if rising:
            if course[t] > course[high]:
                high = t
            elif course[high] - course[t] >= rise:
                found[count, 0], found[count, 1] = low, high
                count += 1
                low, rising = t, False
        elif course[t] <= course[low]:
            low = t
        elif course[t] - course[low] >= rise:
            high, rising = t, True
    if rising:
        found[count, 0], found[count, 1] = low, high
        count += 1
    return found[:count]


def rises_of(course: Float[np.ndarray, " T"], rise: float) -> np.ndarray:
    """[n, 2]: first and last frame of each rise by at least `rise`; between two it falls by as much."""
    return np.asarray(_extremes(np.ascontiguousarray(course, np.float64), rise))
