"""DualTalk: sounds and FLAME parameters of two people, without pictures.

    {train|test|ood}/<name>_speaker{1,2}.wav .npz       exp [T, 50], pose [T, 6] (neck, jaw) at 25 a second

There is nothing to measure ARKit's weights in, so a set of it has FLAME's numbers in the coefficients' place, under
FLAME's names, and only where a user asks for that: no listener of ARKit's coefficients can use it.
"""

from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.features import Feature, entries_of
from data_pipeline.open_data.listing import (
    Conversation,
    Listing,
    Refusal,
    Refused,
    check_lengths,
    kept_features,
    only_one,
    recorded,
)
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Given, Side, Voice
from data_pipeline.open_data.voice_activity import Activity, activity_of
from reactface_jax.errors import UserError

FLAME = "flame"
"""What a user writes in --keep to have FLAME's numbers in the coefficients' place."""
_NUM_EXPRESSIONS = 49
"""As many as fit beside the jaw; the 50th is kept with `--keep flame exp`."""
NAMES = [
    *(f"flame_expression_{i:02d}" for i in range(_NUM_EXPRESSIONS)),
    *(f"flame_{joint}_{axis}" for joint in ("jaw", "neck") for axis in "xyz"),
    *(f"unused_{i}" for i in range(3)),
]
"""Of the 58 columns."""
_SPLITS = ("train", "test", "ood")
_SIDES = ("_speaker1", "_speaker2")

_Files = dict[str, list[Member]]
"""Of one person, by suffix."""


def list_dualtalk(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all pairs. Raises `UserError` unless FLAME's numbers are asked for."""
    if FLAME not in keep:
        raise UserError(
            "DualTalk has no pictures to measure the 58 coefficients in; give --keep flame to have FLAME's parameters "
            "in their place, under their own names"
        )
    pairs: dict[tuple[str, str], dict[str, _Files]] = {}
    for member in members.ending(".wav", ".npz"):
        *folders, file = member.name.split("/")
        stem, _, suffix = file.rpartition(".")
        split = next((folder for folder in reversed([root.resolve().name, *folders]) if folder in _SPLITS), "")
        for side in _SIDES:
            if split and stem.endswith(side):
                files = pairs.setdefault((split, stem.removesuffix(side)), {}).setdefault(side, {})
                files.setdefault(suffix.lower(), []).append(member)
    listing = Listing()
    for (split, name), sides in sorted(pairs.items()):
        ids = (f"{name}/speaker1", f"{name}/speaker2")
        try:
            people, activities = [], []
            for person, side in zip(ids, _SIDES, strict=True):
                found, activity = _person(person, sides.get(side, {}), cutting, keep)
                people.append(found)
                activities.append(activity)
            both = (people[0], people[1])
            check_lengths(both, cutting)
        except Refusal as refusal:
            listing.refused.append(Refused(split, *ids, str(refusal)))
        else:
            speaks = (activities[0].speaks, activities[1].speaks)
            listing.conversations.append(Conversation(name, split, both, speaks))
    listing.notes["voice activity is ours: the data have none"] = 2 * len(listing.conversations)
    return listing


def _person(person: str, files: _Files, cutting: Cutting, keep: tuple[str, ...]) -> tuple[Side, Activity]:
    if missing := [kind for kind in ("wav", "npz") if kind not in files]:
        raise Refusal(f"{person} has no {' and no '.join(missing)}")
    wav, npz = only_one(files["wav"]), only_one(files["npz"])
    there = {entry: Feature(entry, npz, entry) for entry in entries_of(npz)}
    if missing := [entry for entry in ("exp", "pose") if entry not in there]:
        raise Refusal(f"{npz} has no {' and no '.join(missing)}")
    exp, pose = there["exp"], there["pose"]
    given = Given((exp, pose, pose), columns=((0, _NUM_EXPRESSIONS), (3, 6), (0, 3)))
    kept = kept_features(keep, there, {})
    side, level = recorded(person, None, Voice(wav), cutting, given=given, kept=kept)
    assert level is not None
    return side, activity_of(None, level)
