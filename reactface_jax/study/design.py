"""Who sees what: every participant's trials, balanced and drawn by a seed."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Kind = Literal["pair", "speaker", "rating", "check"]


@dataclass(frozen=True)
class Trial:
    """What a participant sees at a time: one or two videos."""

    kind: Kind
    """pair: two methods; speaker: the right and a wrong speaker's reaction; rating: one video; check: of attention."""
    clip: str
    videos: tuple[str, ...]
    """Blind names: left and right, or the one that is rated."""
    methods: tuple[str, ...]
    """Of each video."""
    right: int | None = None
    """Of a speaker trial the place of the right reaction, of a check the place that the page asks to choose."""


class Unit(NamedTuple):
    """A thing to see, and how often it was drawn before."""

    group: int
    clip: int
    turned: bool
    """Whether left and right are exchanged."""


@dataclass(frozen=True)
class Amounts:
    """How many trials of a kind a participant sees."""

    pairs: int = 20
    speakers: int = 0
    ratings: int = 0
    checks: int = 2


def balanced_units(
    groups: int, clips: int, each: int, participants: int, generator: np.random.Generator
) -> list[list[Unit]]:
    """`each` units for every participant, of groups (pairs of methods, or methods) times clips.

    All participants together walk through one endless sequence. It goes in blocks, each of which has every group once,
    every group at another clip; after as many blocks as there are clips every unit was drawn once. So over all
    participants, and for each one, any two groups are drawn equally often or once apart; over all participants any two
    units are drawn equally often or once apart; and a group's, and a unit's, sides change from time to time.
    """
    sequence = _units(groups, clips, generator)
    return [list(itertools.islice(sequence, each)) for _ in range(participants)]


def _units(groups: int, clips: int, generator: np.random.Generator) -> Iterator[Unit]:
    # The groups' order is the same in all blocks, so that any stretch of the sequence has each one equally often.
    order, starts = generator.permutation(groups), generator.permutation(groups)
    clip_order, sides, blocks = (
        generator.permutation(clips),
        generator.integers(2, size=groups),
        generator.permutation(clips),
    )
    for cycle in itertools.count():
        for number, block in enumerate(blocks):
            for group in order:
                clip = clip_order[(starts[group] + block) % clips]
                yield Unit(int(group), int(clip), bool((number + cycle + sides[group]) % 2))


@dataclass(frozen=True)
class Stimuli:
    """The blind names of a study's videos."""

    methods: Sequence[str]
    clips: Sequence[str]
    right: dict[tuple[str, str], str]
    """By method and clip: its reaction to the clip's speaker."""
    matched: dict[tuple[str, str], str]
    """As `right`, as long as the wrong one beside it; empty without the test of speakers."""
    wrong: dict[tuple[str, str], str]
    """The clip's speaker with the method's reaction to another clip's."""


def plan_trials(stimuli: Stimuli, amounts: Amounts, participants: int, seed: int) -> list[list[Trial]]:
    """The trials of every participant, in the order in which they are seen: ratings first, then the rest mixed.

    Ratings come first, since a rating changes once one knows what it is compared with.
    """
    generator = np.random.default_rng(seed)
    methods, clips = stimuli.methods, stimuli.clips
    pairs = list(itertools.combinations(methods, 2))
    compared = balanced_units(len(pairs), len(clips), amounts.pairs if pairs else 0, participants, generator)
    speakers = balanced_units(len(methods), len(clips), amounts.speakers, participants, generator)
    rated = balanced_units(len(methods), len(clips), amounts.ratings, participants, generator)
    checks = balanced_units(len(pairs) or 1, len(clips), amounts.checks, participants, generator)
    plans = []
    for person in range(participants):
        ratings = [
            Trial("rating", clips[c], (stimuli.right[methods[m], clips[c]],), (methods[m],))
            for m, c, _ in rated[person]
        ]
        choices = [_pair(stimuli, pairs[g], clips[c], turned) for g, c, turned in compared[person]]
        choices += [_speaker(stimuli, methods[m], clips[c], turned) for m, c, turned in speakers[person]]
        generator.shuffle(ratings)
        generator.shuffle(choices)
        # Checks stand among choices, if there are some, in the middle of equal parts: neither first nor last, where
        # everybody is attentive. They ask for one side, then for the other, so that nobody passes two by one side.
        mixed = choices or ratings
        trials, first = len(mixed), int(generator.integers(2))
        for number, (g, c, turned) in enumerate(checks[person]):
            pair = _pair(stimuli, pairs[g] if pairs else (methods[0], methods[0]), clips[c], turned)
            place = min(max(round((number + 0.5) * trials / amounts.checks), 1), trials - 1)
            asked = (first + number) % 2
            mixed.insert(place + number, Trial("check", pair.clip, pair.videos, pair.methods, asked))
        plans.append(ratings + choices)
    return plans


def _pair(stimuli: Stimuli, methods: tuple[str, str], clip: str, turned: bool) -> Trial:
    left, right = methods[::-1] if turned else methods
    return Trial("pair", clip, (stimuli.right[left, clip], stimuli.right[right, clip]), (left, right))


def _speaker(stimuli: Stimuli, method: str, clip: str, turned: bool) -> Trial:
    videos = (stimuli.matched[method, clip], stimuli.wrong[method, clip])
    return Trial("speaker", clip, videos[::-1] if turned else videos, (method, method), int(turned))
