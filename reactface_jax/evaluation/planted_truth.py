"""What is planted in made conversations: events, turns and scripts of a split, from their dyads.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from reactface_jax.errors import UserError
from reactface_jax.metrics.events import Event
from reactface_jax.metrics.groups import by_name
from reactface_jax.text_reading import read_text

LISTENING_DELAY = 6
"""Frames by which the listening begins and ends after the speaker's turn: the shortest delay of an answer."""


@dataclass(frozen=True)
class PlantedTruth:
    """Of each clip of a split."""

    events: list[list[Event]]
    """Of the speakers."""
    own_events: list[list[Event]]
    """Of the listeners."""
    listening: Bool[np.ndarray, "N T"]
    groups: Int[np.ndarray, " N"]
    """Clips of one script have one number."""


def read_truth(path: str | Path, split: str | None, clip_ids: Sequence[str], num_frames: int) -> PlantedTruth:
    """Reads the truth of a split.

    Args:
        path: dyads.json, in the raw tree's folder.
        split: "train", "val" or "test"; None: whichever has the clips.
        clip_ids: the speaker's path of each clip.
        num_frames: to which clips are cut.

    Raises:
        UserError: the file is missing or no such truth, or lacks a clip.
    """
    text = read_text(path, name=f"--truth {path}", advice="give the dyads.json of made conversations")
    try:
        conversations = json.loads(text)["conversations"]
        people = {
            person["path"]: (conversation, role)
            for of_split in (conversations.values() if split is None else [conversations[split]])
            for conversation in of_split
            for role, person in enumerate(conversation["people"])
        }
        missing = next((clip for clip in clip_ids if clip not in people), None)
        if missing is not None:
            where = "" if split is None else f" of split {split}"
            raise UserError(f"--truth {path} does not know {missing}{where}; give that of the data's own tree")
        found = [people[clip] for clip in clip_ids]
        return PlantedTruth(
            events=[_events(conversation["people"][role]) for conversation, role in found],
            own_events=[_events(conversation["people"][1 - role]) for conversation, role in found],
            listening=np.stack([_listening(conversation, role, num_frames) for conversation, role in found]),
            groups=by_name([conversation["script"] for conversation, _ in found]),
        )
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"--truth {path} is no truth of made conversations; give their dyads.json") from error


def _events(person: dict[str, Any]) -> list[Event]:
    return [Event(e["kind"], int(e["start"]), int(e["length"]), int(e["side"])) for e in person["events"]]


def _listening(conversation: dict[str, Any], speaker: int, num_frames: int) -> Bool[np.ndarray, " T"]:
    frames = np.zeros(num_frames, bool)
    for turn in conversation["turns"]:
        if turn["role"] == speaker:
            frames[turn["start"] + LISTENING_DELAY : turn["end"] + LISTENING_DELAY] = True
    return frames
