"""How a listener answers: a style says with which gestures, a delay says when."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_pipeline.dyads.scripts import Event

MEAN_DELAY = 10
"""Frames from the start of an event to the start of its answer, on average (0.4 s)."""
DELAY_STD = 1.5
DELAY_RANGE = (6, 14)

Gestures = Mapping[str, float]
"""Gestures (`performance.GESTURES`, `turn` and `tilt` without their side) with their amplitudes."""

STYLES: Mapping[str, Mapping[str, Gestures]] = {
    "expressive": {
        "smile": {"smile": 1.0},
        "brow_raise": {"brow_raise": 1.0},
        "frown": {"frown": 0.9},
        "turn": {"turn": 0.7},
        "emphasis": {"nod": 0.9, "brow_raise": 0.4},
        "pause": {"nod": 0.9},
        "question": {"brow_raise": 0.8, "tilt": 0.8, "lean": 0.8},
    },
    "reserved": {
        "smile": {"smile": 0.6},
        "brow_raise": {"brow_raise": 0.6},
        "frown": {"frown": 0.5},
        "turn": {},
        "emphasis": {"nod": 0.6},
        "pause": {"nod": 0.6},
        "question": {"tilt": 0.7, "lean": 0.5},
    },
    "nodding": {
        "smile": {"smile": 0.7, "nod": 0.5},
        "brow_raise": {"brow_raise": 0.6, "nod": 0.8},
        "frown": {"frown": 0.5, "nod": 0.5},
        "turn": {"turn": 0.5},
        "emphasis": {"nod": 1.1},
        "pause": {"nod": 1.1},
        "question": {"brow_raise": 0.6, "nod": 0.8},
    },
    "mimicking": {
        "smile": {"smile": 0.9},
        "brow_raise": {"brow_raise": 0.9},
        "frown": {"frown": 0.9},
        "turn": {"turn": 0.9},
        "emphasis": {"nod": 0.7},
        "pause": {"lean": 0.8},
        "question": {"tilt": 0.9, "brow_raise": 0.6, "lean": 0.8},
    },
}
"""Which gestures answer which event. Every style answers a smile with a smile."""


@dataclass(frozen=True)
class Answer:
    """One event of the other person, answered."""

    to: Event
    delay: int
    """Frames."""
    strength: float
    gestures: Gestures


def answer(events: tuple[Event, ...], style: str, rng: np.random.Generator) -> list[Answer]:
    """Answers to all events of the other person that the style does not pass over."""
    answers = []
    for event in events:
        delay = int(np.clip(np.round(rng.normal(MEAN_DELAY, DELAY_STD)), *DELAY_RANGE))
        strength = round(event.strength * float(rng.uniform(0.9, 1.1)), 3)
        if gestures := STYLES[style][event.kind]:
            answers.append(Answer(event, delay, strength, gestures))
    return answers
