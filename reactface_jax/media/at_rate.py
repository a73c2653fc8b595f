"""Frames at a constant rate, out of frames that are shown when their timestamps say: nothing is blended."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

T = TypeVar("T")

_TAIL = Fraction(1, 1000)
"""A frame of the result that would begin so shortly before the end is none (s)."""


@dataclass(frozen=True)
class Shown(Generic[T]):
    """A frame and its time."""

    frame: T
    time: Fraction
    """When it is shown (s)."""
    end: Fraction
    """Until when, if none follows (s)."""
    slack: Fraction
    """How late it may be for a frame of the result, and still be that frame (s)."""


def at_rate(frames: Iterable[Shown[T]], rate: Fraction, start: Fraction | None = None) -> Iterator[T]:
    """Yields, for each time start + i / rate, the last frame that is shown by then; the same again where none is newer.

    A frame that is not later than the one before it is dropped.

    Args:
      frames: in the order of their decoding.
      rate: frames a second of the result.
      start: time of the first (s); None: that of the first of `frames`, which then comes at least once.
    """
    last: Shown[T] | None = None
    count, begin = 0, start
    for frame in frames:
        if begin is None:
            begin = frame.time
        if last is not None:
            if frame.time <= last.time:
                continue
            while begin + count / rate + frame.slack < frame.time:
                yield last.frame
                count += 1
        last = frame
    if last is None or begin is None:
        return
    while (start is None and count == 0) or begin + count / rate + _TAIL < last.end:
        yield last.frame
        count += 1
