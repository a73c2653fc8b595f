"""Meta's Seamless Interaction: a participant's files have the id V.._S.._I.._P.., and two of one V_S_I are a pair.

    hub      {improvised|naturalistic}/{train|dev|test}/{batch}/{archive}.tar     <id>.wav .mp4 .npz .json in each
    unpacked {improvised|naturalistic}/{train|dev|test}/{batch}/{archive}/<id>.*
    bucket   {...}/{train|dev|test}/{audio,video}/<id>.{wav,mp4}, metadata/{transcript,vad}/<id>.jsonl and
             {smplh,boxes_and_keypoints,movement}/<feature>/<id>.npy
    interactions.csv                                                              prompts; optional, anywhere

Nothing says which participant the csv calls a and which b, so a person's role is what is heard: who mostly talks.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.faces import Boxes
from data_pipeline.open_data.features import Feature, entries_of
from data_pipeline.open_data.listing import (
    Conversation,
    Listing,
    Refusal,
    Refused,
    check_lengths,
    kept_features,
    recorded,
    split_in,
)
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Side, Voice
from data_pipeline.open_data.voice_activity import Activity, activity_of
from reactface_jax.errors import UserError
from reactface_jax.text_reading import Json, json_from_text, table_from_text, text_from_bytes

RULE = "near speakers in other conversations with the same prompt and role"

_ID = re.compile(r"(V\d+_S\d+_I(\d+))_(P\d+A?)")
_READERS = 4
_BOX, _IS_VALID_BOX = "boxes_and_keypoints:box", "boxes_and_keypoints:is_valid_box"
_VALID = {"movement:": "movement:is_valid", "smplh:": "smplh:is_valid", "boxes_and_keypoints:": _IS_VALID_BOX}
_PARTS_OF_ROOT = 4
"""How many folders above the data may name their split."""


@dataclass
class _Files:
    """One participant's."""

    split: str
    video: Member | None = None
    audio: Member | None = None
    json: Member | None = None
    vad: Member | None = None
    features: dict[str, Feature] = field(default_factory=dict)


def list_seamless(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all pairs.

    Raises:
      UserError: a csv can't be read, or no recording has an array that is wanted.
    """
    prompts = _prompts(members)
    interactions: dict[tuple[str, str], dict[str, _Files]] = {}
    for key, files in _participants(members, root).items():
        match = _ID.fullmatch(key[1])
        assert match
        interactions.setdefault((files.split, match[1]), {})[key[1]] = files
    _require(keep, (files.features for people in interactions.values() for files in people.values()))

    def read(item: tuple[tuple[str, str], dict[str, _Files]]) -> tuple[Conversation | Refused, list[str]]:
        (split, name), people = item
        match = _ID.match(f"{name}_P0")
        prompt = match[2].lstrip("0") if match else ""
        return _conversation(split, name, people, prompts.get(prompt, prompt), cutting, keep)

    listing = Listing()
    with ThreadPoolExecutor(_READERS) as pool:
        for found, notes in pool.map(read, sorted(interactions.items())):
            listing.notes.update(notes)
            if isinstance(found, Conversation):
                listing.conversations.append(found)
            else:
                listing.refused.append(found)
    if shared := _in_several_splits(listing):
        listing.notes["warning: participants that are in more than one split"] = shared
    return listing


def _in_several_splits(listing: Listing) -> int:
    """How many participants, who are known by vendor and number, more than one split has."""
    splits: dict[tuple[str, str], set[str]] = {}
    for conversation in listing.conversations:
        for side in conversation.people:
            vendor, *_, number = side.id.split("_")
            splits.setdefault((vendor, number), set()).add(conversation.split)
    return sum(len(names) > 1 for names in splits.values())


def _participants(members: Members, root: Path) -> dict[tuple[str, str], _Files]:
    """Files of every (split, id)."""
    found: dict[tuple[str, str], _Files] = {}
    above = root.resolve().parts[-_PARTS_OF_ROOT:]
    for name, member in sorted(members.files.items()):
        *folders, file = name.split("/")
        stem, _, suffix = file.rpartition(".")
        if not _ID.fullmatch(stem):
            continue
        split = split_in(tuple(folders)) or split_in(above) or "train"
        files = found.setdefault((split, stem), _Files(split))
        match suffix.lower():
            case "mp4":
                files.video = member
            case "wav":
                files.audio = member
            case "json":
                files.json = member
            case "jsonl" if folders[-1:] == ["vad"]:
                files.vad = member
            case "npz":
                files.features |= {entry: Feature(entry, member, entry) for entry in entries_of(member)}
            case "npy" if len(folders) > 1:
                feature = f"{folders[-2]}:{folders[-1]}"
                files.features[feature] = Feature(feature, member)
    return found


def _require(keep: tuple[str, ...], features: Iterable[dict[str, Feature]]) -> None:
    there = {name for of_one in features for name in of_one}
    if missing := [name for name in keep if name not in there]:
        some = ", ".join(sorted(there)) or "none"
        raise UserError(f"--keep {missing[0]}: no recording has it; there are: {some}")


def _conversation(
    split: str, name: str, people: dict[str, _Files], prompt: str, cutting: Cutting, keep: tuple[str, ...]
) -> tuple[Conversation | Refused, list[str]]:
    """A pair, or why it is left out; and what is worth saying of it."""
    ids = sorted(people)
    try:
        if len(ids) != 2:
            raise Refusal("the partner is missing" if len(ids) == 1 else f"there are {len(ids)} participants, not two")
        sides, activities, notes = [], [], []
        for person in ids:
            side, activity = _person(person, people[person], cutting, keep)
            sides.append(side)
            activities.append(activity)
            notes.append(f"voice activity is {_kind(activity.source)}")
        both = (sides[0], sides[1])
        check_lengths(both, cutting)
    except Refusal as refusal:
        return Refused(split, ids[0], ids[1] if len(ids) > 1 else "", str(refusal)), []
    speaks = (activities[0].speaks, activities[1].speaks)
    return Conversation(name, split, both, speaks, group=prompt), notes


def _kind(source: str) -> str:
    """Where voice activity is from, without the numbers of one recording."""
    return re.sub(r"[\d.]+ s", ".. s", source)


def _person(person: str, files: _Files, cutting: Cutting, keep: tuple[str, ...]) -> tuple[Side, Activity]:
    missing = [kind for kind, member in (("video", files.video), ("sound", files.audio)) if member is None]
    if missing or files.audio is None:
        raise Refusal(f"{person} has no {' and no '.join(missing)}")
    features = files.features
    boxes = None
    if _BOX in features and _IS_VALID_BOX in features:
        boxes = Boxes(features[_BOX], features[_IS_VALID_BOX])
    kept = kept_features(keep, features, _VALID)
    side, level = recorded(person, files.video, Voice(files.audio), cutting, boxes=boxes, kept=kept)
    assert level is not None
    try:
        return side, activity_of(_stretches(files), level)
    except UserError as error:
        raise Refusal(str(error)) from error


def _stretches(files: _Files) -> list[tuple[float, float]] | None:
    """When a participant speaks, by the data set; None where it does not say. Raises `UserError` for damaged json."""
    if files.json is not None:
        content = _json(files.json, files.json.read().decode("utf-8", "replace"))
        found = content.get("metadata:vad") if isinstance(content, dict) else None
    elif files.vad is not None:
        lines = files.vad.read().decode("utf-8", "replace").splitlines()
        found = [_json(files.vad, line) for line in lines if line.strip()]
    else:
        return None
    if not isinstance(found, list):
        return None
    return list(_pairs(found))


def _pairs(found: list[Json]) -> Iterator[tuple[float, float]]:
    for stretch in found:
        if isinstance(stretch, dict):
            begin, end = stretch.get("start"), stretch.get("end")
            if isinstance(begin, int | float) and isinstance(end, int | float):
                yield float(begin), float(end)


def _json(member: Member, text: str) -> Json:
    return json_from_text(text, name=str(member), advice="download it again")


def _prompts(members: Members) -> dict[str, str]:
    """The I id without its zeros → the prompt's own id, where interactions.csv is there."""
    found: dict[str, str] = {}
    for member in members.ending("interactions.csv"):
        text = text_from_bytes(member.read(), name=str(member), advice="download it again")
        _, rows = table_from_text(text, ["prompt_hash", "prompt_id_unique"], name=str(member))
        for row in rows:
            found[row["prompt_hash"].strip().lstrip("I").lstrip("0")] = row["prompt_id_unique"].strip()
    return found
