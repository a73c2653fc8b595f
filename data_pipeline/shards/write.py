"""A raw tree's shard set.

A shard set is a folder:

    react2023-<split>.array_record-*   one record a direction, in the split's order
    coefficients_<split>.npy           raw coefficients of each direction's speaker, float32 [2n, T, 58];
                                       row i + n (modulo 2n) is the listener of row i
    appropriateness_<split>.npy        bool [2n, 2n]
    description.json                   counts, checksums, names, mean_face: see docs/data.md
    dataset_info.json features.json    TFDS's own: `tfds.builder_from_directory` reads the set too

ArrayRecord and not TFRecord: it reads the record at any index at once, so that the loader's order can be a pure
function of seed and step, without a shuffle buffer, and resuming costs nothing.
The table is float32, 0.9 GB for all of REACT2023: half precision would do for the loss, but the table also serves the
metrics, which need the exact numbers, and it is mapped into memory, so that only what is read counts.

Everything is made in a folder beside, .<name>.partial, and moved when it is complete:

    clips/                             pairs, encoded one by one, and what came of each
    shards/                            checksums of the shards that are done
    set/                               what becomes the shard set
    moving                             there is nothing left to do but to move it

A run that was killed goes on from these files. Which clips can be used is known when all are encoded, and only then
their numbers are, so the shards come second; a shard's clips are removed when it is written.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_pipeline.shards.assembly import write_set
from data_pipeline.shards.description import DESCRIPTION, read_description
from data_pipeline.shards.encode_clips import encode
from data_pipeline.shards.remote import AnyPath, any_path, make_any_folder, remove, write_bytes
from data_pipeline.shards.runners import Processes, Runner
from reactface_jax.errors import UserError

CLIPS_PER_SHARD = 64  # half a gigabyte of REACT2023


def write_shards(
    raw: str | AnyPath,
    out: str | AnyPath,
    *,
    workers: int = 1,
    overwrite: bool = False,
    max_bad: int = 0,
    clips_per_shard: int = CLIPS_PER_SHARD,
    runner: Runner | None = None,
    report: Callable[[str, int, int], None] = lambda task, done, total: None,
) -> dict[str, Any]:
    """Writes the shard set of a raw tree. It appears at `out` when it is complete, and not before.

    A run that was killed, or that failed, goes on when it is started again; the result has the same bytes.

    Args:
      raw: the tree, see data_pipeline/raw_tree/react2023.py; a folder, or gs://bucket/folder.
      out: the folder to make; likewise.
      workers: processes that decode videos.
      overwrite: replace an existing `out`.
      max_bad: leave out so many pairs at most whose files are damaged.
      clips_per_shard: directions in one file.
      runner: what runs the work, instead of processes: see data_pipeline/shards/runners.py.
      report: called with (task, clips or shards done, of how many).

    Returns:
      The description, as in description.json.

    Raises:
      UserError: `out` exists, or the tree has something that can't be used.
    """
    raw, out = any_path(raw), any_path(out)
    aside = out.with_name(f".{out.name}.partial")
    is_moving = (aside / "moving").is_file()
    if not is_moving and not overwrite and out.exists() and any(out.iterdir()):
        raise UserError(f"{out} exists already; choose another --out, or replace it with --overwrite")
    runner = runner or Processes(workers)
    make_any_folder(aside)
    with _alone(aside):
        if not is_moving:
            for name in ("clips", "shards", "set"):
                make_any_folder(aside / name)
            contents = encode(raw, aside, runner, max_bad, report)
            write_set(raw, aside, contents, runner, clips_per_shard, report)
            if out.exists():
                remove(out)
            write_bytes(aside / "moving", b"")
        _move(aside / "set", out)
        for name in ("clips", "shards", "set"):
            remove(aside / name)
        remove(aside)  # and the mark that all is done
    return read_description(out)


@contextlib.contextmanager
def _alone(aside: AnyPath) -> Iterator[None]:
    """Makes sure that no other run writes the same set; it is not known of a bucket."""
    if not isinstance(aside, Path):
        yield
        return
    with (aside / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another run is writing into {aside}; wait for it, or end it") from error
        yield


def _move(folder: AnyPath, out: AnyPath) -> None:
    """Moves the complete set to `out`; what was moved before, by a run that was killed, is there already."""
    if not folder.exists():
        return
    if isinstance(folder, Path):
        os.replace(folder, out)
        return
    make_any_folder(out)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == DESCRIPTION):  # without it, it is no set
        path.replace(out / path.name)
