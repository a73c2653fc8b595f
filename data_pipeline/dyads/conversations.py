"""Who talks to whom by which script, in which split: the whole data set as a plan, before anything is drawn."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from data_pipeline.dyads.listening import MEAN_DELAY, STYLES, Answer, answer
from data_pipeline.dyads.performance import perform, rest
from data_pipeline.dyads.scripts import LENGTHS, ROLES, Script, write_script
from data_pipeline.dyads.variation import Variation, sample_variation
from data_pipeline.dyads.voice import listen, speak
from data_pipeline.raw_tree.react2023 import SPLITS
from reactface_jax.errors import UserError
from reactface_jax.rendering import Look
from reactface_jax.types import FRAME_RATE

VERSION = 2
"""Of dyads.json. 1 lacked this field, `test_scripts`, `pictures` and `people`. Its recipes make the same scripts,
people and answers today, with other words: the recorded speech's first samples were read otherwise."""
SHARES = (0.6, 0.2, 0.2)
"""Of the scripts in train, val and test, as in REACT2023."""
SESSION_SCRIPTS = 4
"""Two people who meet play this many scripts."""
FOLDERS = ("Expert_video", "Novice_video")
CITIES = ("Paris", "Nottingham", "Augsburg")
PITCH = (0.85, 1.25)

# Streams of random numbers: (seed, stream, ...) starts each, so that nothing depends on the order of the work.
_SCRIPT, _PERSON, _STYLE, _ANSWER, _VOICE, _MOTION = range(6)


@dataclass(frozen=True)
class Recipe:
    """All that the data depend on."""

    num_clips: int = 48
    """Conversations of all splits together; each gives two directions."""
    seconds: float = 10.0
    seed: int = 0
    takes: int = 3
    """Conversations that share a script: each other's appropriate reactions."""
    size: tuple[int, int] = (256, 256)
    """Height and width of the videos."""
    test_scripts: int | None = None
    """Scripts of the test split, of all that there are; None: a fifth of them."""
    pictures: bool = True
    """Whether videos are drawn; coefficients do not depend on it."""
    people: Literal["plain", "varied"] = "plain"
    """Whether they differ in rest, gain, blinks, gaze and tracker, as recorded people do (variation.py)."""

    def __post_init__(self) -> None:
        if self.num_clips < len(SPLITS):
            raise UserError(f"--clips {self.num_clips} is too few: each of {', '.join(SPLITS)} needs a conversation")
        if not 2 <= self.seconds < float("inf"):  # NaN is not either
            reason = "too short for an event and its answer" if self.seconds < 2 else "no length"
            raise UserError(f"--seconds {self.seconds:g} is {reason}: give 2 or more")
        if self.takes < 1 or self.seed < 0:
            raise UserError(f"--takes must be 1 or more and --seed 0 or more, got {self.takes} and {self.seed}")
        if self.test_scripts is not None and not 1 <= self.test_scripts <= self.num_scripts - 2:
            raise UserError(
                f"--test-scripts {self.test_scripts} does not leave a script each to train and val: {self.num_clips} "
                f"conversations in takes of {self.takes} are {self.num_scripts} scripts; give more --clips"
            )

    @property
    def num_scripts(self) -> int:
        """Of all splits together."""
        return max(len(SPLITS), -(-self.num_clips // self.takes))

    def scripts_of_splits(self) -> list[int]:
        """How many scripts train, val and test have."""
        if self.test_scripts is None:
            held_out = [max(1, round(share * self.num_scripts)) for share in SHARES[1:]]
        else:
            rest = self.num_scripts - self.test_scripts
            held_out = [max(1, round(SHARES[1] / sum(SHARES[:2]) * rest)), self.test_scripts]
        return [self.num_scripts - sum(held_out), *held_out]

    @property
    def num_frames(self) -> int:
        return round(self.seconds * FRAME_RATE)


def version_of(content: Mapping[str, Any]) -> object:
    """The version of a dyads.json."""
    return content.get("version", 1)


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """The recipe in a dyads.json; fields that it is too old to have are at their defaults.

    Raises:
        TypeError: it has fields that no recipe has.
    """
    known = dict(content)
    if "size" in known:
        known["size"] = tuple(known["size"])
    return Recipe(**known)


@dataclass(frozen=True)
class Person:
    """Someone who takes part in the conversations of one session."""

    style: str
    look: Look
    face: Float[np.ndarray, "58"]
    """At rest."""
    pitch: float
    variation: Variation | None = None


@dataclass(frozen=True)
class Conversation:
    """One row of a split's csv."""

    split: str
    script_id: str
    """Conversations with the same one are each other's neighbours."""
    script: Script
    session: str
    number: int
    """Of the clip within its session, from 1."""
    people: tuple[Person, Person]
    answers: tuple[tuple[Answer, ...], tuple[Answer, ...]]
    """Of each role, to the other's events."""
    key: tuple[int, ...]
    """Starts the conversation's own random streams."""

    def path(self, role: int) -> str:
        """Where a person's files lie, without folder and suffix."""
        return f"NoXI/{self.session}/{FOLDERS[role]}/{self.number}"

    def play(self, role: int) -> tuple[Float[np.ndarray, "T 58"], Float[np.ndarray, " L"]]:
        """One person's raw coefficients and sound (44.1 kHz)."""
        person = self.people[role]
        sound = speak(self.script, role, person.pitch, np.random.default_rng((*self.key, _VOICE, role)))
        coefficients = perform(
            self.script.num_frames,
            self.script.events[role],
            self.answers[role],
            listen(sound),
            person.face,
            np.random.default_rng((*self.key, _MOTION, role)),
            person.variation,
        )
        return coefficients, sound

    def truth(self) -> dict[str, Any]:
        """What happens in it, for those who test whether it was learnt."""
        script = self.script
        return {
            "script": self.script_id,
            "turns": [asdict(turn) for turn in script.turns],
            "people": [
                {
                    "path": self.path(role),
                    "style": self.people[role].style,
                    "events": [asdict(event) for event in script.events[role]],
                    "answers": [
                        {"kind": a.to.kind, "start": a.to.start + a.delay, "delay": a.delay, "strength": a.strength}
                        for a in self.answers[role]
                    ],
                }
                for role in ROLES
            ],
        }


def plan(recipe: Recipe) -> dict[str, list[Conversation]]:
    """The conversations of each split in the csv's order: by session, so that takes of a script lie apart."""
    takes = [len(part) for part in np.array_split(np.arange(recipe.num_clips), recipe.num_scripts)]
    bounds = np.cumsum([0, *recipe.scripts_of_splits()])
    conversations: dict[str, list[Conversation]] = {}
    first_session = 1
    for index, split in enumerate(SPLITS):
        of_split = list(_plan_split(recipe, index, takes[bounds[index] : bounds[index + 1]], first_session))
        conversations[split] = sorted(of_split, key=lambda c: (c.session, c.number))
        first_session += len({c.session for c in of_split})
    return conversations


def _plan_split(recipe: Recipe, split: int, takes: list[int], first_session: int) -> Iterator[Conversation]:
    """Conversations of a split; `takes` says how many there are of each script."""
    most = max(takes)
    for script_number, num_takes in enumerate(takes):
        script = write_script(np.random.default_rng((recipe.seed, _SCRIPT, split, script_number)), recipe.num_frames)
        block, number = divmod(script_number, SESSION_SCRIPTS)
        for take in range(num_takes):
            people = tuple(_person(recipe, split, block, take, role) for role in ROLES)
            key = (recipe.seed, split, script_number, take)
            rngs = [np.random.default_rng((*key, _ANSWER, role)) for role in ROLES]
            yield Conversation(
                split=SPLITS[split],
                script_id=f"{SPLITS[split]}-{script_number}",
                script=script,
                session=_session_name(first_session + block * most + take),
                number=number + 1,
                people=(people[0], people[1]),
                answers=(
                    tuple(answer(script.events[1], people[0].style, rngs[0])),
                    tuple(answer(script.events[0], people[1].style, rngs[1])),
                ),
                key=key,
            )


def _person(recipe: Recipe, split: int, block: int, take: int, role: int) -> Person:
    """Takes of a script differ in style as long as there are styles left."""
    styles = np.random.default_rng((recipe.seed, _STYLE, split, block, role)).permutation(list(STYLES))
    rng = np.random.default_rng((recipe.seed, _PERSON, split, block, take, role))
    return Person(
        style=str(styles[take % len(styles)]),
        look=Look.sample(rng),
        face=rest(rng),
        pitch=float(rng.uniform(*PITCH)),
        variation=sample_variation(rng) if recipe.people == "varied" else None,
    )


def _session_name(number: int) -> str:
    """As NoXI names its sessions: number, day, place."""
    day = np.datetime64("2016-03-17") + np.timedelta64(number, "D")
    return f"{number:03d}_{day}_{CITIES[number % len(CITIES)]}"


def count_events(conversations: list[Conversation]) -> dict[str, int]:
    """How many events of each kind the scripts hold; what takes of a script share counts once."""
    scripts = {c.script_id: c.script for c in conversations}.values()
    kinds = Counter(event.kind for script in scripts for events in script.events for event in events)
    return {kind: kinds[kind] for kind in LENGTHS}


def neighbours(conversations: list[Conversation]) -> np.ndarray:
    """Appropriateness of a split, [2n, 2n] of 0 and 1, in the order speaker → listener, then roles swapped.

    A speaker's events are those of the script and the role, so another take of the same script in the same role shows
    an appropriate reaction.
    """
    scripts = np.array([c.script_id for c in conversations])
    same = (scripts[:, None] == scripts[None, :]).astype(np.uint8)
    return np.kron(np.eye(len(ROLES), dtype=np.uint8), same)


def truth(recipe: Recipe, conversations: dict[str, list[Conversation]]) -> dict[str, Any]:
    """The plan as JSON-able data; delays in frames."""
    return {
        "version": VERSION,
        "recipe": asdict(recipe) | {"size": list(recipe.size)},
        "mean_delay": MEAN_DELAY,
        "conversations": {split: [c.truth() for c in of_split] for split, of_split in conversations.items()},
    }
