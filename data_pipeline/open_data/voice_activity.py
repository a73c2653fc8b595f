"""Who speaks when: what a data set says of it, if its sound agrees, and else ours by loudness.

Activity is a truth value for each 25th of a second, as `media.levels` has loudness.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_closing, binary_opening

from reactface_jax.types import FRAME_RATE

_ABOVE_FLOOR = 12.0
"""Speech is louder than the room by this (dB)."""
_SILENCE = 1e-3
"""Nothing below this level is speech (-60 dB of full scale)."""
_LOUDEST_ROOM = 5e-3
_PAUSE, _SHORTEST = 0.3, 0.16
"""Pauses within speech that are closed, and bursts that are no speech (s)."""
_BEYOND = 0.5
"""Stretches that end this much after the sound can't be its (s)."""
_AGREES = 0.2
"""Correlation with the sound's level (in dB) below which stretches are not of this sound."""


@dataclass(frozen=True)
class Activity:
    """When one person speaks, and by whose measure."""

    speaks: Bool[np.ndarray, " T"]
    source: str
    """"theirs", or "ours" with the reason."""


def by_loudness(level: Float[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
    """Where a sound is louder than its room: 12 dB above the level that it exceeds nine tenths of the time.

    A room is at most -46 dB of full scale loud: of who never pauses, the quietest tenth is speech, too.

    Args:
      level: root mean square of each 25th of a second.
    """
    floor = np.clip(float(np.quantile(level, 0.1)), _SILENCE / 4, _LOUDEST_ROOM) if len(level) else _SILENCE
    loud = level > max(floor * 10 ** (_ABOVE_FLOOR / 20), _SILENCE)
    pause, shortest = round(_PAUSE * FRAME_RATE), round(_SHORTEST * FRAME_RATE)
    padded = np.pad(loud, pause)  # closing would otherwise eat what touches the ends
    closed = binary_closing(padded, np.ones(pause + 1, bool))[pause : len(padded) - pause]
    return np.asarray(binary_opening(closed, np.ones(shortest, bool)), bool)


def activity_of(stretches: list[tuple[float, float]] | None, level: Float[np.ndarray, " T"]) -> Activity:
    """A data set's own stretches of speech where they can be of this sound, and else ours.

    Args:
      stretches: beginning and end of each (s); None: the data set has none.
      level: of the sound, for each 25th of a second.
    """
    if why := _contradiction(stretches, level):
        return Activity(by_loudness(level), f"ours: {why}")
    assert stretches is not None
    return Activity(_drawn(stretches, len(level)), "theirs")


def _contradiction(stretches: list[tuple[float, float]] | None, level: Float[np.ndarray, " T"]) -> str:
    """Why stretches can't be those of a sound; empty if they can."""
    if stretches is None:
        return "the data have none"
    seconds = len(level) / FRAME_RATE
    times = np.array(stretches, np.float64).reshape(-1, 2)
    if not np.isfinite(times).all() or (times < 0).any() or (times[:, 1] < times[:, 0]).any():
        return "theirs go back in time"
    if len(times) and times.max() > seconds + _BEYOND:
        return f"theirs go on until {times.max():.1f} s, the sound ends at {seconds:.1f} s"
    drawn = _drawn(stretches, len(level))
    if drawn.all() or not drawn.any():
        return "" if drawn.any() or not by_loudness(level).any() else "theirs say nothing, but there is sound"
    loudness = np.log10(np.maximum(level, _SILENCE / 4))
    if loudness.std() < 1e-6 or np.corrcoef(drawn, loudness)[0, 1] < _AGREES:
        return "theirs are not when the sound is loud"
    return ""


def _drawn(stretches: list[tuple[float, float]], length: int) -> Bool[np.ndarray, " T"]:
    speaks = np.zeros(length, bool)
    for begin, end in stretches:
        speaks[round(begin * FRAME_RATE) : round(end * FRAME_RATE)] = True
    return speaks
