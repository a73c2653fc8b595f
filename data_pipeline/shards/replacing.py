"""Where a shard set may be written: what is there is replaced only if its own description proves that it is one."""

from pathlib import Path

from data_pipeline.shards.description import DESCRIPTION, files_of
from data_pipeline.shards.remote import LOCAL, AnyPath
from reactface_jax.errors import UserError
from reactface_jax.files import lie_apart, require_replaceable

FOLDERS = ("clips", "shards", "set", "set.old", LOCAL)
FILES = ("moving", "lock")
"""What the folder holds in which a set is being made."""


def check_out(raw: AnyPath, out: AnyPath, aside: AnyPath, overwrite: bool) -> None:
    """Refuses to write a set where something would be lost.

    Args:
      raw: the tree.
      out: where the set is to appear.
      aside: the folder in which it is made.
      overwrite: whether a set that is there may be replaced.

    Raises:
      UserError: one of raw and out lies in the other, with all links followed; or `out` holds a set and `overwrite` is
        not given, or something that is not, or not only, a shard set; or `aside` holds something else.
    """
    tree = raw.resolve() if isinstance(raw, Path) else raw
    instead = tree.with_name(f"{tree.name}-shards") if tree.name else "a folder elsewhere"
    for folder in (out, aside):
        if not _lie_apart(raw, folder):
            raise UserError(
                f"--out {out} and --raw {raw} lie one in the other, where the shards could replace the tree; give "
                f"--out {instead}"
            )
    if isinstance(out, Path):
        require_replaceable(out, lambda _: True, "a shard set")  # what it holds is asked below, with the reason
    if out.exists() and any(out.iterdir()):
        if reason := not_a_set(out):
            raise UserError(f"{out} {reason}, so it is not replaced; give another --out")
        if not overwrite:
            raise UserError(f"{out} exists already; choose another --out, or replace it with --overwrite")
    if aside.exists() and (others := sorted({path.name for path in aside.iterdir()} - {*FOLDERS, *FILES})):
        raise UserError(f"{aside}, where shards are made, holds {others[0]}; move it away, or give another --out")


def not_a_set(folder: AnyPath) -> str:
    """Why a folder is not a shard set and nothing else, in words that follow its name; empty if it is one.

    A set may be damaged, or of another version: it is ours if its description lists every file that is there.
    """
    try:
        listed = files_of(folder)
    except UserError:
        return f"holds files but no {DESCRIPTION} of a shard set"
    others = sorted({path.name for path in folder.iterdir()} - listed - {DESCRIPTION})
    return f"holds {others[0]}, which is no file of a shard set" if others else ""


def _lie_apart(one: AnyPath, other: AnyPath) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return lie_apart(one, other)
    if isinstance(one, Path) or isinstance(other, Path):
        return True
    first, second = one.parts, other.parts
    return first[: len(second)] != second and second[: len(first)] != first
