"""RealTalk: videos of two people in one picture, p0 on the left and p1 on the right, with one sound beside each.

    .../<name>.avi           in folders or tars
    .../<name>.wav           likewise; a video's own sound if there is none

The owners give no splits: by the name's checksum. One sound can't say who speaks, so p0 is the speaker of a piece and
p1 of its other direction, both with the whole sound. EMOCA's features are not read.
"""

from collections import Counter
from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.listing import (
    Conversation,
    Listing,
    Refusal,
    Refused,
    recorded,
    sound_of,
    split_by_name,
)
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Voice
from reactface_jax.errors import UserError


def list_realtalk(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all videos. Raises `UserError` when arrays are to be kept, which are not read."""
    if keep:
        raise UserError(f"--keep {keep[0]}: RealTalk's features are not read; leave it out")
    sounds: dict[str, list[Member]] = {}
    for sound in members.ending(".wav"):
        sounds.setdefault(sound.stem, []).append(sound)
    videos = members.ending(".avi", ".mp4")
    named = Counter(video.stem for video in videos)
    taken: dict[str, Member] = {}
    listing = Listing()
    for video in videos:
        name = video.stem
        ids, split = (f"{name}/p0", f"{name}/p1"), split_by_name(name)
        try:
            if taken.setdefault(name, video) is not video:
                raise Refusal(f"{taken[name]} has the same name as {video}; leave one of them, or name them apart")
            voice = Voice(sound_of(name, [video.folder], sounds.get(name, []), named[name] == 1) or video)
            one, _ = recorded(ids[0], video, voice, cutting, half="left")
            other, _ = recorded(ids[1], video, voice, cutting, half="right")
        except Refusal as refusal:
            listing.refused.append(Refused(split, *ids, str(refusal)))
        else:
            listing.conversations.append(Conversation(name, split, (one, other)))
    listing.notes["who speaks is not known: both have the whole sound"] = len(listing.conversations)
    listing.notes["splits are by the name's checksum"] = len(listing.conversations)
    return listing
