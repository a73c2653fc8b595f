"""What happens in a conversation: two people take turns in talking, and each plays events while having the floor."""

from dataclasses import dataclass

import numpy as np

ROLES = (0, 1)
"""0: the csv's speaker (NoXI's expert); 1: its listener (the novice). Both talk in turn."""

# How long each kind of event lasts (frames), and how often it is chosen within a turn. Both people smile and answer
# smiles, so their cross-correlation peaks at plus and at minus the delay: events are short, to keep these apart.
LENGTHS = {"smile": 20, "brow_raise": 18, "frown": 20, "turn": 22, "emphasis": 14, "pause": 14, "question": 18}
CHANCES = {"smile": 0.42, "brow_raise": 0.16, "frown": 0.14, "turn": 0.14, "emphasis": 0.08, "pause": 0.06}
TURN_FRAMES = (55, 100)
"""Shortest and longest turn."""
GAP_FRAMES = (20, 30)
"""From one event's start to the next's."""

SILENT_KINDS = ("smile", "brow_raise", "frown", "turn")
SILENT_SHARE = 0.6
"""How many of a talking person's events a silent one shows, where a script has silent events."""


@dataclass(frozen=True)
class Event:
    """Something that a talking person does and the other may answer."""

    kind: str
    start: int
    """First frame."""
    length: int
    strength: float
    """Up to 1."""
    side: int
    """-1 or 1: where a turn or a tilt goes (1: rotation angles grow)."""


@dataclass(frozen=True)
class Turn:
    """A stretch in which one person talks."""

    role: int
    start: int
    end: int
    """First frame after it."""


@dataclass(frozen=True)
class Script:
    """A conversation as both people play it; takes of the same script differ in people, voices and answers."""

    num_frames: int
    turns: tuple[Turn, ...]
    events: tuple[tuple[Event, ...], tuple[Event, ...]]
    """Of each role."""


def write_script(rng: np.random.Generator, num_frames: int) -> Script:
    """A random script: turns alternate; each turn is full of events and ends in a pause or a question."""
    turns = _take_turns(rng, num_frames)
    events: tuple[list[Event], list[Event]] = ([], [])
    for turn in turns:
        events[turn.role].extend(fill(rng, turn))
    return Script(num_frames, tuple(turns), (tuple(events[0]), tuple(events[1])))


def redraw(script: Script, role: int, rng: np.random.Generator) -> Script:
    """The same turns, with one person's events drawn anew: what the other one can't know of that person."""
    own = tuple(event for turn in script.turns if turn.role == role for event in fill(rng, turn))
    events = (own, script.events[1]) if role == 0 else (script.events[0], own)
    return Script(script.num_frames, script.turns, events)


def add_silent_events(script: Script, role: int, rng: np.random.Generator) -> Script:
    """The same script, in which a person goes on while the other has the floor: silently, now and then.

    Faces without a voice are part of every conversation; who listens answers them too.
    """
    silent = [
        event
        for turn in script.turns
        if turn.role != role
        for event in fill(rng, turn)
        if event.kind in SILENT_KINDS and rng.random() < SILENT_SHARE
    ]
    own = tuple(sorted((*script.events[role], *silent), key=lambda event: event.start))
    events = (own, script.events[1]) if role == 0 else (script.events[0], own)
    return Script(script.num_frames, script.turns, events)


def _take_turns(rng: np.random.Generator, num_frames: int) -> list[Turn]:
    role = int(rng.integers(2))
    turns = []
    # Clips are cut out of longer conversations: the first turn has begun before them.
    start, end = 0, int(rng.integers(TURN_FRAMES[0] // 2, TURN_FRAMES[1], endpoint=True))
    while start < num_frames:
        if num_frames - end < TURN_FRAMES[0] // 2:
            end = num_frames
        turns.append(Turn(role, start, end))
        start, end, role = end, end + int(rng.integers(*TURN_FRAMES, endpoint=True)), 1 - role
    return turns


def fill(rng: np.random.Generator, turn: Turn) -> list[Event]:
    """Events of one turn: one after the other, and a pause or a question at the end."""
    kinds, chances = list(CHANCES), np.array(list(CHANCES.values()))
    last = str(rng.choice(["pause", "question"]))
    events = []
    start = turn.start + int(rng.integers(3, 10))
    while start + GAP_FRAMES[0] <= turn.end - LENGTHS[last]:
        events.append(_event(rng, str(rng.choice(kinds, p=chances / chances.sum())), start))
        start += int(rng.integers(*GAP_FRAMES, endpoint=True))
    return [*events, _event(rng, last, max(turn.start, turn.end - LENGTHS[last]))]


def _event(rng: np.random.Generator, kind: str, start: int) -> Event:
    strength, side = float(rng.uniform(0.75, 1.0)), int(rng.choice([-1, 1]))
    return Event(kind, start, LENGTHS[kind], round(strength, 3), side)
