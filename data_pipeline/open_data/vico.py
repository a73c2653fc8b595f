"""ViCo and its listening heads (RLD): a csv that names, for each clip, two videos and the speaker's sound.

    <any>.csv                columns audio, listener, speaker, and data_split if the owners' splits are wanted: train,
                             dev or val, test, ood; where the cell is empty, by the name's checksum
    .../<listener>.mp4       of the listener, and <speaker>.mp4 of the speaker
    .../<audio>.wav          the speaker's

No appropriateness is known of it: a clip's own listener only.
"""

from pathlib import Path

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.listing import (
    SPLIT_NAMES,
    Conversation,
    Listing,
    Refusal,
    Refused,
    check_lengths,
    only_one,
    recorded,
    split_by_name,
)
from data_pipeline.open_data.members import Member, Members
from data_pipeline.open_data.pieces import Voice
from reactface_jax.errors import UserError
from reactface_jax.text_reading import table_from_text, text_from_bytes

_COLUMNS = ("audio", "listener", "speaker")


def list_vico(members: Members, root: Path, cutting: Cutting, keep: tuple[str, ...]) -> Listing:
    """Lists all clips; one that is listed twice is left out the second time.

    Raises:
      UserError: no csv lists them, one that does is not in UTF-8, or arrays are to be kept, of which there are none.
    """
    if keep:
        raise UserError(f"--keep {keep[0]}: ViCo has no arrays; leave it out")
    by_name: dict[str, list[Member]] = {}
    for member in members.ending(".mp4", ".wav"):
        by_name.setdefault(member.name.rpartition("/")[2].lower(), []).append(member)
    listing = Listing()
    seen: set[tuple[str, ...]] = set()
    for member, rows in _tables(members, root):
        for row in rows:
            names = {column: row[column].strip() for column in _COLUMNS}
            ids = (f"{names['audio']}/{names['speaker']}", f"{names['audio']}/{names['listener']}")
            owners = row.get("data_split", "").strip().lower()
            split = SPLIT_NAMES.get(owners, owners) or split_by_name(names["audio"])
            listing.notes["splits are the owners'" if owners else "splits are by the name's checksum"] += 1
            files = {kind: by_name.get(f"{names[kind]}.mp4".lower(), []) for kind in ("speaker", "listener")}
            files["sound"] = by_name.get(f"{names['audio']}.wav".lower(), [])
            key = tuple(name.lower() for name in names.values())
            try:
                if key in seen:
                    raise Refusal(f"{member} lists it again")
                seen.add(key)
                if split not in SPLIT_NAMES.values():
                    raise Refusal(f"its data_split is {split}; give {', '.join(SPLIT_NAMES)}, or nothing")
                if missing := [kind for kind, found in files.items() if not found]:
                    raise Refusal(f"there is no file of the {' and of the '.join(missing)}")
                speaker, _ = recorded(ids[0], only_one(files["speaker"]), Voice(only_one(files["sound"])), cutting)
                listener, _ = recorded(ids[1], only_one(files["listener"]), None, cutting)
                check_lengths((speaker, listener), cutting)
            except Refusal as refusal:
                listing.refused.append(Refused(split, *ids, str(refusal)))
            else:
                listing.conversations.append(Conversation(ids[1], split, (speaker, listener)))
    return listing


def _tables(members: Members, root: Path) -> list[tuple[Member, list[dict[str, str]]]]:
    """The csvs that list clips, and their rows. Raises `UserError` when there is none, or one is not in UTF-8."""
    tables: list[tuple[Member, list[dict[str, str]]]] = []
    other: list[UserError] = []  # why some can't be read that do not seem to list clips
    for member in members.ending(".csv"):
        content = member.read()
        try:
            text = text_from_bytes(content, name=str(member), advice="save it as csv in UTF-8")
        except UserError as error:
            if _lists_clips(content.replace(b"\0", b"").lstrip(b"\xff\xfe").decode("latin-1")):  # also of UTF-16
                raise
            other.append(error)
            continue
        if _lists_clips(text):
            tables.append((member, table_from_text(text, _COLUMNS, name=str(member))[1]))
    if not any(rows for _, rows in tables):
        raise next(
            iter(other),
            UserError(f"{root} has no csv with the columns {', '.join(_COLUMNS)}; copy RLD_data.csv there"),
        )
    return tables


def _lists_clips(text: str) -> bool:
    """Whether a csv's first line has the columns."""
    header = [cell.strip().strip('"') for cell in text.split("\n", 1)[0].split(",")]
    return set(_COLUMNS) <= set(header)
