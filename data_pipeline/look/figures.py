"""What a shard set's tables say of its people, split by split: numbers in which a fault of the data would show."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reactface_jax.types import FRAME_RATE

_BLINK = 0.4
"""Weight of eyeBlink from which an eye counts as closed."""
_OPEN = 0.25
"""Below it, the eye is open again; in between, nothing changes."""
_MOST_LAG = 3 * FRAME_RATE
_LEAST_STD = 1e-3
"""A smile that moves less is none."""
_PARTICIPANT = re.compile(r"(V\d+)_S\d+_I\d+_(P\d+)A?")


@dataclass(frozen=True)
class Lag:
    """How one person's smile follows the other's."""

    seconds: float
    """By how much the listener's is later, where both are most alike."""
    correlation: float
    """Their mean correlation at that lag."""
    clips: int
    """In which both smile at all."""


def blinks_a_minute(left: Float[np.ndarray, " T"], right: Float[np.ndarray, " T"]) -> float:
    """How often both eyes close (weights of eyeBlinkLeft and eyeBlinkRight, 25 a second)."""
    closed, count = False, 0
    for weight in np.minimum(left, right).tolist():
        if not closed and weight > _BLINK:
            closed, count = True, count + 1
        elif closed and weight < _OPEN:
            closed = False
    return count * 60 * FRAME_RATE / len(left)


def lag_of_smiles(
    speakers: Sequence[Float[np.ndarray, "_"]], listeners: Sequence[Float[np.ndarray, "_"]]
) -> Lag | None:
    """The lag, up to 3 s either way, at which listeners' smiles are most like speakers'; None where nobody smiles.

    Args:
      speakers: a weight of each frame, a sequence a clip.
      listeners: likewise, of the same length each.
    """
    sums, clips = np.zeros(2 * _MOST_LAG + 1), 0
    for one, other in zip(speakers, listeners, strict=True):
        if len(one) <= 2 * _MOST_LAG or one.std() < _LEAST_STD or other.std() < _LEAST_STD:
            continue
        first = (one - one.mean()) / one.std()
        second = (other - other.mean()) / other.std()
        full = np.correlate(second, first, "full") / len(first)  # index len - 1 is lag 0
        sums += full[len(first) - 1 - _MOST_LAG : len(first) + _MOST_LAG]
        clips += 1
    if not clips:
        return None
    best = int(np.argmax(sums))
    return Lag((best - _MOST_LAG) / FRAME_RATE, float(sums[best] / clips), clips)


def share_lost(confidence: Float[np.ndarray, "N T 1"], lengths: Sequence[int]) -> float:
    """Share of frames whose coefficients were kept from another frame, because the face was lost."""
    frames = [row[:length, 0] for row, length in zip(confidence, lengths, strict=True)]
    return float((np.concatenate(frames) == 0).mean())


def duplicates(tables: Mapping[str, tuple[Float[np.ndarray, "N T C"], Sequence[int], Sequence[str]]]) -> list[str]:
    """Clips whose coefficients stand in more than one split, as "a of train is b of val".

    Args:
      tables: split → coefficients, lengths of the clips, ids.
    """
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for split, (table, lengths, ids) in tables.items():
        for track, length, clip in zip(table, lengths, ids, strict=True):
            key = hashlib.sha256(np.ascontiguousarray(track[:length]).tobytes()).hexdigest()
            name, other = seen.setdefault(key, (split, clip))
            if name != split:
                found.append(f"{clip} of {split} is {other} of {name}")
    return found


def shared_people(ids: Mapping[str, Sequence[str]]) -> list[str]:
    """People whom more than one split has: a clip's id without its last part, or a participant's number.

    Args:
      ids: split → ids of its clips.
    """
    splits: dict[str, set[str]] = {}
    for split, clips in ids.items():
        for clip in clips:
            person = clip.rpartition("/")[0]
            if match := _PARTICIPANT.search(person):
                person = f"{match[1]} {match[2]}"
            splits.setdefault(person, set()).add(split)
    return sorted(f"{person} ({', '.join(sorted(names))})" for person, names in splits.items() if len(names) > 1)
