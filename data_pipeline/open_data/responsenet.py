"""ResponseNet: pairs of videos, or videos of two people side by side, with a sound channel a person, by split.

    .../{train,val,test}/.../<pair>_<side>.mp4    two a pair; sides are 0 and 1, 1 and 2, a and b, left and right, or
                                                  speaker and listener
    .../{train,val,test}/.../<pair>.mp4           or one a pair, with both people in it
    .../<pair>.wav                                two channels: the first side's, the second's; the one video's own
                                                  sound if there is none

The owners' layout is published nowhere that could be read: this is the plainest that holds what they describe.
"""

import re
from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.following import Half
from data_pipeline.open_data.listing import Conversation, Listing, Refusal, Refused, check_lengths, recorded, split_in
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Voice
from data_pipeline.open_data.voice_activity import by_loudness
from reactface_jax.errors import UserError

_SIDED = re.compile(r"(.+)[_-]p?(0|1|2|a|b|left|right|speaker|listener)", re.IGNORECASE)
_ORDER = ("speaker", "left", "a", "0", "1", "2", "b", "right", "listener")
"""Which of two sides comes first, and so has the first channel."""


def list_responsenet(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all pairs. Raises `UserError` when arrays are to be kept, which are not read."""
    if keep:
        raise UserError(f"--keep {keep[0]}: ResponseNet's words are not read; leave it out")
    videos: dict[tuple[str, str], dict[str, Member]] = {}
    for video in members.ending(".mp4", ".avi"):
        stem, split = _stem(video.name), split_in(tuple(video.name.split("/")[:-1])) or "train"
        sided = _SIDED.fullmatch(stem)
        name, side = (sided[1], sided[2].lower()) if sided else (stem, "")
        videos.setdefault((split, name), {})[side] = video
    sounds = {_stem(member.name): member for member in members.ending(".wav")}
    listing = Listing()
    for (split, name), sides in sorted(videos.items()):
        try:
            listing.conversations.append(_pair(split, name, sides, sounds.get(name), cutting))
        except Refusal as refusal:
            listing.refused.append(Refused(split, name, "", str(refusal)))
    listing.notes["voice activity is ours: the data have none"] = len(listing.conversations)
    return listing


def _pair(split: str, name: str, sides: dict[str, Member], sound: Member | None, cutting: Cutting) -> Conversation:
    halves: tuple[Half, Half] = ("", "")
    if set(sides) == {""}:
        first = second = sides[""]
        halves, sound = ("left", "right"), sound or sides[""]
    elif len(sides) == 2 and "" not in sides:
        first, second = (sides[side] for side in sorted(sides, key=_ORDER.index))
    else:
        raise Refusal("the partner is missing" if len(sides) == 1 else f"there are {len(sides)} videos, not two")
    if sound is None:
        raise Refusal(f"there is no {name}.wav")
    people, levels = [], []
    for channel, (video, half) in enumerate(zip((first, second), halves, strict=True)):
        side, level = recorded(f"{name}/{channel}", video, Voice(sound, channel), cutting, half=half)
        assert level is not None
        people.append(side)
        levels.append(level)
    both = (people[0], people[1])
    check_lengths(both, cutting)
    return Conversation(name, split, both, (by_loudness(levels[0]), by_loudness(levels[1])))


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
