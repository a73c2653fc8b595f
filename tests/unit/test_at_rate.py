"""Frames at a constant rate, worked out by hand."""

import itertools
from fractions import Fraction

from reactface_jax.media.at_rate import Shown, at_rate

TENTH = Fraction(1, 10)


def frames(*times: float, slack: float = 0) -> list[Shown[int]]:
    """Numbered frames at tenths of a second, each a tenth long."""
    return [Shown(i, time * TENTH, (time + 1) * TENTH, Fraction(slack)) for i, time in enumerate(map(Fraction, times))]


def test_the_last_frame_shown_by_then() -> None:
    # At 0, .25, .5, .75 s; the last frame ends at .8.
    assert list(at_rate(frames(0, 1, 2, 4, 5, 7), Fraction(4))) == [0, 2, 4, 5]
    # .24 s is not yet .25 s, unless it may come so early; a frame that is not later than the one before is dropped.
    assert list(at_rate(frames(0, 2.6, 2.5, 5.1), Fraction(4))) == [0, 0, 1]
    assert list(at_rate(frames(0, 2.6, 2.5, 5.1, slack=0.02), Fraction(4))) == [0, 1, 3]
    assert list(at_rate(frames(3), Fraction(1))) == [0]
    assert list(at_rate(iter(()), Fraction(4))) == []


def test_from_a_moment_on() -> None:
    assert list(at_rate(frames(3, 4, 5, 6), Fraction(10), Fraction(2, 5))) == [1, 2, 3]
    assert list(at_rate(frames(3, 4, 5, 6), Fraction(10), Fraction(2))) == []
    endless = (frame for i in itertools.count() for frame in [Shown(i, i * TENTH, (i + 1) * TENTH, Fraction(0))])
    assert list(itertools.islice(at_rate(endless, Fraction(5), Fraction(1)), 3)) == [10, 12, 14]
