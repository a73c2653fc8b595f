"""RealTalk: videos of two people in one picture, p0 on the left and p1 on the right, with one sound beside each.

    .../<name>.avi           in folders or tars
    .../<name>.wav           likewise; a video's own sound if there is none

The owners give no splits: by the name's checksum. One sound can't say who speaks, so p0 is the speaker of a piece and
p1 of its other direction, both with the whole sound. EMOCA's features are not read.
"""

from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.listing import Conversation, Listing, Refusal, Refused, recorded, split_by_name
from data_pipeline.open_data.members import Members
from data_pipeline.open_data.pieces import Voice
from reactface_jax.errors import UserError


def list_realtalk(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all videos. Raises `UserError` when arrays are to be kept, which are not read."""
    if keep:
        raise UserError(f"--keep {keep[0]}: RealTalk's features are not read; leave it out")
    sounds = {_stem(member.name): member for member in members.ending(".wav")}
    listing = Listing()
    for video in members.ending(".avi", ".mp4"):
        name = _stem(video.name)
        ids, split = (f"{name}/p0", f"{name}/p1"), split_by_name(name)
        try:
            voice = Voice(sounds.get(name, video))
            one, _ = recorded(ids[0], video, voice, cutting, half="left")
            other, _ = recorded(ids[1], video, voice, cutting, half="right")
        except Refusal as refusal:
            listing.refused.append(Refused(split, *ids, str(refusal)))
        else:
            listing.conversations.append(Conversation(name, split, (one, other)))
    listing.notes["who speaks is not known: both have the whole sound"] = len(listing.conversations)
    listing.notes["splits are by the name's checksum"] = len(listing.conversations)
    return listing


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
