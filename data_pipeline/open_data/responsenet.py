"""ResponseNet: pairs of videos, or videos of two people side by side, with a sound channel a person, by split.

    .../{train,val,test}/.../<pair>_<side>.mp4    two a pair; sides are 0 and 1, 1 and 2, a and b, left and right, or
                                                  speaker and listener
    .../{train,val,test}/.../<pair>.mp4           or one a pair, with both people in it
    .../<pair>.wav                                two channels: the first side's, the second's; the one video's own
                                                  sound if there is none

A pair's videos lie in one folder, or each in its own where no other pair of the split has the name. Its sound lies
beside them; or elsewhere, in a folder of the same split or of none, where no other sound or pair has the name. A video
whose name ends in a number or in a or b is one of both people if there is a sound of that whole name.

The owners' layout is published nowhere that could be read: this is the plainest that holds what they describe.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.following import Half
from data_pipeline.open_data.listing import (
    Conversation,
    Listing,
    Refusal,
    Refused,
    check_lengths,
    only_one,
    recorded,
    sound_of,
    split_in,
)
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Voice
from data_pipeline.open_data.voice_activity import by_loudness
from reactface_jax.errors import UserError

_SIDED = re.compile(r"(.+)[_-]p?(0|1|2|a|b|left|right|speaker|listener)", re.IGNORECASE)
_ORDER = ("speaker", "left", "a", "0", "1", "2", "b", "right", "listener")
"""Which of two sides comes first, and so has the first channel."""
_PERHAPS_A_NUMBER = ("0", "1", "2", "a", "b")
"""Sides that may as well count pairs."""

_Sides = dict[str, list[Member]]
"""Videos by side; "" has both people."""


@dataclass(frozen=True)
class _Pair:
    split: str
    name: str
    sides: _Sides
    is_unique: bool
    """Whether no other pair of the split has its name."""

    @property
    def id(self) -> str:
        """The name, after the folder where other pairs of the split have it, too."""
        folder = next(iter(self.sides.values()))[0].folder
        return self.name if self.is_unique else f"{folder}/{self.name}".lstrip("/")


def list_responsenet(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all pairs. Raises `UserError` when arrays are to be kept, which are not read."""
    if keep:
        raise UserError(f"--keep {keep[0]}: ResponseNet's words are not read; leave it out")
    sounds: dict[str, list[Member]] = {}
    for member in members.ending(".wav"):
        sounds.setdefault(member.stem, []).append(member)
    pairs = _pairs(members.ending(".mp4", ".avi"), sounds)
    named = Counter(pair.name for pair in pairs)
    listing = Listing()
    for pair in pairs:
        try:
            sound = _sound(pair, sounds.get(pair.name, []), named[pair.name] == 1)
            listing.conversations.append(_conversation(pair, sound, cutting))
        except Refusal as refusal:
            listing.refused.append(Refused(pair.split, pair.id, "", str(refusal)))
    listing.notes["voice activity is ours: the data have none"] = len(listing.conversations)
    return listing


def _pairs(videos: list[Member], sounds: Mapping[str, list[Member]]) -> list[_Pair]:
    """Videos that go together, by split and name."""
    found: dict[tuple[str, str], dict[str, _Sides]] = {}
    for video in videos:
        sided = _SIDED.fullmatch(video.stem)
        if sided and sided[2].lower() in _PERHAPS_A_NUMBER and video.stem in sounds:
            sided = None
        name, side = (sided[1], sided[2].lower()) if sided else (video.stem, "")
        folders = found.setdefault((_split_of(video) or "train", name), {})
        folders.setdefault(video.folder, {}).setdefault(side, []).append(video)
    pairs = []
    for (split, name), folders in sorted(found.items()):
        sides = [(side, videos) for one in folders.values() for side, videos in one.items()]
        if len(sides) == 2 == len(dict(sides)) and "" not in dict(sides):  # wherever each of the two lies
            folders = {"": dict(sides)}
        pairs += [_Pair(split, name, one, len(folders) == 1) for one in folders.values()]
    return pairs


def _sound(pair: _Pair, sounds: list[Member], has_own_name: bool) -> Member | None:
    """The pair's sound, or None. Raises `Refusal` where several sounds could be it."""
    folders = [video.folder for videos in pair.sides.values() for video in videos]
    if of_split := [sound for sound in sounds if _split_of(sound) == pair.split or sound.folder in folders]:
        return sound_of(pair.name, folders, of_split, pair.is_unique)
    return sound_of(pair.name, folders, [sound for sound in sounds if not _split_of(sound)], has_own_name)


def _split_of(file: Member) -> str:
    """That its folders name; empty if none does."""
    return split_in(tuple(file.folder.split("/")))


def _conversation(pair: _Pair, sound: Member | None, cutting: Cutting) -> Conversation:
    halves: tuple[Half, Half] = ("", "")
    sides = {side: only_one(videos) for side, videos in pair.sides.items()}
    if set(sides) == {""}:
        first = second = sides[""]
        halves, sound = ("left", "right"), sound or sides[""]
    elif len(sides) == 2 and "" not in sides:
        first, second = (sides[side] for side in sorted(sides, key=_ORDER.index))
    else:
        raise Refusal("the partner is missing" if len(sides) == 1 else f"there are {len(sides)} videos, not two")
    if sound is None:
        raise Refusal(f"there is no {pair.name}.wav")
    people, levels = [], []
    for channel, (video, half) in enumerate(zip((first, second), halves, strict=True)):
        side, level = recorded(f"{pair.id}/{channel}", video, Voice(sound, channel), cutting, half=half)
        assert level is not None
        people.append(side)
        levels.append(level)
    both = (people[0], people[1])
    check_lengths(both, cutting)
    return Conversation(pair.id, pair.split, both, (by_loudness(levels[0]), by_loudness(levels[1])))
