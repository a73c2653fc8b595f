"""What is listed of a form: conversations of two people by split, and what is left out and why."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.faces import Boxes, View
from data_pipeline.open_data.features import Feature
from data_pipeline.open_data.following import Half
from data_pipeline.open_data.media import levels, look_at
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Given, Side, Voice
from reactface_jax.errors import UserError
from reactface_jax.types import FRAME_RATE

SPLIT_NAMES = {name: name for name in ("train", "val", "test", "ood")} | dict.fromkeys(
    ("dev", "valid", "validation"), "val"
)
"""The owners' names of splits, and ours."""

Speaks = tuple[Bool[np.ndarray, "_"], Bool[np.ndarray, "_"]]


@dataclass(frozen=True)
class Conversation:
    """Two recordings that go together."""

    name: str
    split: str
    people: tuple[Side, Side]
    speaks: Speaks | None = None
    """When each of them does; None: the first is the speaker, or nobody knows."""
    group: str = ""
    """Whose conversations are comparable, by the form's rule."""

    @property
    def num_frames(self) -> int:
        """That both have, at 25 a second."""
        return int(min(side.seconds for side in self.people) * FRAME_RATE + 1e-6)


@dataclass(frozen=True)
class Refused:
    """A conversation that can't be used."""

    split: str
    speaker: str
    listener: str
    reason: str


@dataclass
class Listing:
    """Everything of a data set."""

    conversations: list[Conversation] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """Sentences for the user, such as whose voice activity was taken, and how often each holds."""


Lister = Callable[[Members, Path, Cutting, tuple[str, ...]], Listing]
"""What lists a form: its files, where they lie, how to cut, which of its arrays to keep."""


class Refusal(Exception):
    """Why a person's files are of no use, as a part of a sentence. Never leaves this folder."""


def recorded(
    person: str,
    video: Member | None,
    voice: Voice | None,
    cutting: Cutting,
    *,
    half: Half = "",
    boxes: Boxes | None = None,
    given: Given | None = None,
    kept: tuple[tuple[Feature, Feature | None], ...] = (),
) -> tuple[Side, Float[np.ndarray, " T"] | None]:
    """One person's recording, and its sound's level for each 25th of a second.

    Args:
      person: the id.
      video: None for a form without pictures.
      voice: None where nothing is heard.
      cutting: how much lengths may differ, and how short a recording may be.
      half: of a picture of two.
      boxes: of the person.
      given: coefficients of the data set.
      kept: its other arrays that are wanted.

    Raises:
      Refusal: a file is damaged or too short, or picture, sound and given arrays are of different length.
    """
    try:
        film = look_at(video) if video else None
        level = levels(voice.file, voice.channel) if voice else None
        rows = {feature: len(feature.rows()) for feature in given.features} if given else {}
    except UserError as error:
        raise Refusal(str(error)) from error
    sound_seconds = len(level) / FRAME_RATE if level is not None else None
    seconds = sound_seconds or 0.0
    if film:
        seconds = film.seconds
    elif given:
        seconds = rows[given.coefficients[0]] / FRAME_RATE
    if min(seconds, seconds if sound_seconds is None else sound_seconds) < cutting.min_seconds:
        raise Refusal(f"{person} is shorter than --min-seconds {cutting.min_seconds:g}")
    what = "picture" if film else "face"
    if sound_seconds is not None and abs(sound_seconds - seconds) > cutting.max_apart:
        raise Refusal(
            f"the {what} of {person} lasts {seconds:.1f} s, the sound {sound_seconds:.1f} s: their times can't be right"
        )
    rates = (FRAME_RATE, film.rate) if film else (FRAME_RATE,)
    for feature, count in rows.items():
        if min(abs(count / rate - seconds) for rate in rates) > cutting.max_apart:
            raise Refusal(
                f"{feature.name} of {feature.file} has {count} rows, but the {what} of {person} lasts {seconds:.1f} s: "
                "their times can't be right"
            )
    view = View(video, film, half, boxes) if video and film else None
    return Side(person, seconds, view, voice, given, kept), level


def check_lengths(people: tuple[Side, Side], cutting: Cutting) -> None:
    """Raises `Refusal` when two recordings are too different in length to be of one conversation."""
    one, other = (side.seconds for side in people)
    if abs(one - other) > cutting.max_apart:
        raise Refusal(f"{people[0].id} lasts {one:.1f} s, {people[1].id} {other:.1f} s: they can't be lined up")


def only_one(files: Sequence[Member]) -> Member:
    """The file of a name. Raises `Refusal` when several have it, of which nobody knows which is meant."""
    if len(files) > 1:
        raise Refusal(f"{files[0]} and {files[1]} have the same name; leave one of them, or name them apart")
    return files[0]


def sound_of(name: str, folders: Collection[str], sounds: Sequence[Member], is_alone: bool) -> Member | None:
    """A recording's sound: the one beside its videos, or else the only one anywhere; None where there is none.

    Args:
      name: of the recording.
      folders: of its videos.
      sounds: all of this name that could be meant.
      is_alone: whether no other recording of this name could mean them.

    Raises:
      Refusal: nobody knows which sound is meant, or which recording.
    """
    beside = [sound for sound in sounds if sound.folder in folders]
    if sounds and not beside and not is_alone:
        raise Refusal(f"{sounds[0]} could be of several recordings called {name}; put one beside each one's video")
    return only_one(beside or sounds) if sounds else None


def kept_features(
    wanted: tuple[str, ...], there: Mapping[str, Feature], valid: Mapping[str, str]
) -> tuple[tuple[Feature, Feature | None], ...]:
    """The arrays of a recording that a user wants and that it has, each with where it is valid.

    Args:
      wanted: the data set's names.
      there: all that the recording has.
      valid: beginning of a name → the name of the array that says where such arrays are valid.
    """
    pairs = []
    for name in wanted:
        if name in there:
            marks = next((mark for begin, mark in valid.items() if name.startswith(begin)), "")
            pairs.append((there[name], there.get(marks)))
    return tuple(pairs)


def split_in(parts: tuple[str, ...]) -> str:
    """The split that a path names; empty where it names none."""
    return next((SPLIT_NAMES[part.lower()] for part in reversed(parts) if part.lower() in SPLIT_NAMES), "")


def split_by_name(name: str) -> str:
    """A split for data whose owners give none: by the name's checksum, eight, one and one in ten."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10
    return {8: "val", 9: "test"}.get(number, "train")
