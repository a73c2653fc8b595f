"""MARS, the data of the REACT challenges of 2025 and 2026: its own 58 coefficients, and clips of known roles.

    {train,val,test}/{coefficients,facial-attributes,audio,video-face-crop}/{speaker,listener}/session<n>/<clip>.*

.npy of 58 and of 25 columns, .wav, and .mp4 of 384x384; the same path in speaker and listener is a pair. Pictures and
attributes may be absent. `video-raw` is not read.
"""

from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.features import Feature
from data_pipeline.open_data.listing import Conversation, Listing, Refusal, Refused, check_lengths, recorded, split_in
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Given, Side, Voice
from reactface_jax.errors import UserError
from reactface_jax.types import NUM_COEFFICIENTS

RULE = "all listeners of a session, at the same moment of it"
_KINDS = {"coefficients": "npy", "facial-attributes": "npy", "audio": "wav", "video-face-crop": "mp4"}
_ROLES = ("speaker", "listener")


@dataclass
class _Clip:
    """Files of one clip: role → kind → file."""

    roles: dict[str, dict[str, Member]] = field(default_factory=lambda: {role: {} for role in _ROLES})


def list_mars(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all pairs. Raises `UserError` when arrays are to be kept, of which there are no others."""
    if keep:
        raise UserError(f"--keep {keep[0]}: MARS's coefficients and attributes are in the examples; leave it out")
    clips: dict[tuple[str, str], _Clip] = {}
    for name, member in sorted(members.files.items()):
        parts = name.rpartition(".")[0].split("/")
        role = next((i for i, part in enumerate(parts) if part in _ROLES and i > 0 and parts[i - 1] in _KINDS), None)
        if role is None or _KINDS[parts[role - 1]] != name.rpartition(".")[2].lower():
            continue
        split = split_in((*root.resolve().parts[-1:], *parts[: role - 1]))
        if split and len(parts) > role + 2:
            clip = clips.setdefault((split, "/".join(parts[role + 1 :])), _Clip())
            clip.roles[parts[role]][parts[role - 1]] = member
    pictures = any("video-face-crop" in files for clip in clips.values() for files in clip.roles.values())
    listing = Listing()
    if not pictures:
        listing.notes["there is no video-face-crop, so the shards have no pictures"] = 1
    for (split, name), clip in sorted(clips.items()):
        ids = (f"{name}/speaker", f"{name}/listener")
        try:
            speaker, listener = (
                _person(person, clip.roles[role], pictures, cutting) for person, role in zip(ids, _ROLES, strict=True)
            )
            check_lengths((speaker, listener), cutting)
        except Refusal as refusal:
            listing.refused.append(Refused(split, *ids, str(refusal)))
        else:
            group = name.partition("/")[0]
            listing.conversations.append(Conversation(name, split, (speaker, listener), group=group))
    return listing


def _person(person: str, files: dict[str, Member], pictures: bool, cutting: Cutting) -> Side:
    role = person.rpartition("/")[2]
    needed = ["coefficients", *(["video-face-crop"] if pictures else []), *(["audio"] if role == "speaker" else [])]
    if missing := [kind for kind in needed if kind not in files]:
        raise Refusal(f"the {role} has no {' and no '.join(missing)}")
    attributes = Feature("facial-attributes", files["facial-attributes"]) if "facial-attributes" in files else None
    coefficients = (Feature("coefficients", files["coefficients"]),)
    given = Given(coefficients, columns=((0, NUM_COEFFICIENTS),), attributes=attributes)
    voice = Voice(files["audio"]) if "audio" in files else None
    side, _ = recorded(person, files.get("video-face-crop"), voice, cutting, given=given)
    return side
