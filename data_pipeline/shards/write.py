"""The shard set of a raw tree, or of another form of data.

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
    moving                             there is nothing left to do but to move it: the folder's number, and a digest of
                                       the input

A run that was killed goes on from these files. A complete set that was made of other input than the run has is no end:
what has changed is made anew. Which clips can be used is known when all are encoded, and only then
their numbers are, so the shards come second; a shard's clips are removed when it is written.
"""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from etils import epath

from data_pipeline.raw_tree.react2023_reader import React2023Reader
from data_pipeline.raw_tree.reader import Reader
from data_pipeline.shards.assembly import write_set
from data_pipeline.shards.description import DESCRIPTION, Description, files_of, read_description
from data_pipeline.shards.encode_clips import encode, encode_part, input_digest, list_contents
from data_pipeline.shards.remote import LOCAL, AnyPath, any_path, make_any_folder, remove, write_bytes, writing
from data_pipeline.shards.replacing import FILES, FOLDERS, check_out
from data_pipeline.shards.runners import Processes, Runner
from reactface_jax.errors import UserError
from reactface_jax.files import take_place

CLIPS_PER_SHARD = 64  # half a gigabyte of REACT2023


def write_shards(
    raw: str | AnyPath | Reader,
    out: str | AnyPath,
    *,
    workers: int = 1,
    overwrite: bool = False,
    max_bad: int = 0,
    clips_per_shard: int = CLIPS_PER_SHARD,
    runner: Runner | None = None,
    report: Callable[[str, int, int], None] = lambda task, done, total: None,
) -> Description:
    """Writes the shard set of a raw tree, or of another form. It appears at `out` when it is complete, and not before.

    A run that was killed, or that failed, goes on when it is started again; the result has the same bytes.

    Args:
      raw: REACT2023's tree, see data_pipeline/raw_tree/react2023.py: a folder, or gs://bucket/folder; or the reader of
        another form.
      out: the folder to make; likewise.
      workers: processes that decode videos.
      overwrite: replace a shard set at `out`; whatever else is there is never replaced.
      max_bad: leave out so many pairs at most whose files are damaged.
      clips_per_shard: directions in one file.
      runner: what runs the work, instead of processes: see data_pipeline/shards/runners.py.
      report: called with (task, clips or shards done, of how many).

    Returns:
      The description, as in description.json.

    Raises:
      UserError: `out` holds something, or lies in the tree or around it; or the tree has something that can't be used.
    """
    reader: Reader = React2023Reader(any_path(raw)) if isinstance(raw, str | Path | epath.Path) else raw
    root, out = reader.root, any_path(out)
    if isinstance(out, Path):
        out = out.resolve()  # a link stays one, and "." has a name
    if not out.name:
        raise UserError(f"--out {out} can't be replaced as a whole; give a folder inside it")
    aside = out.with_name(f".{out.name}.partial")
    mark = aside / "moving"
    if isinstance(out, Path) or not mark.is_file():
        check_out(root, out, aside, overwrite or _is_moved(aside, out))
    runner = runner or Processes(workers)
    make_any_folder(aside)
    with _only_writer(aside):
        remove(aside / LOCAL)  # of a run that was killed
        contents = list_contents(reader, aside)
        made_of = input_digest(reader, contents, max_bad, clips_per_shard)
        if mark.is_file() and _read_mark(aside)[1] not in ("", made_of):  # earlier versions noted none
            check_out(root, out, aside, overwrite)  # what has moved there is a set of its own
            _take_back(aside)
        if not mark.is_file():
            for name in ("clips", "shards", "set"):
                make_any_folder(aside / name)
            contents = encode(reader, contents, runner, max_bad, report)
            write_set(reader, aside, contents, runner, clips_per_shard, report)
            write_bytes(mark, f"{_number(aside / 'set')} {made_of}".encode())
        if isinstance(out, Path) and isinstance(aside, Path):
            if not _is_moved(aside, out):
                check_out(root, out, aside, overwrite)  # what came there meanwhile is not lost either
                with writing(out):
                    take_place(aside / "set", out)
        else:
            _move_objects(aside / "set", out)
        _clear(aside)
    return read_description(out)


def write_part(
    raw: str | AnyPath | Reader,
    out: str | AnyPath,
    part: tuple[int, int],
    *,
    overwrite: bool = False,
    runner: Runner | None = None,
    report: Callable[[str, int, int], None] = lambda task, done, total: None,
) -> None:
    """Does one machine's part of the work of `write_shards`, which then joins what all have done, to the same bytes.

    Args:
      raw: as of `write_shards`; the same for all machines.
      out: likewise, where all machines reach it.
      part: (i, n): the pieces i, i + n, i + 2n, ... of each split, i counted from 0.
      overwrite: whether a set at `out` may be replaced later.
      runner: what runs the work: this process by default.
      report: called with (split, clips done, of how many).

    Raises:
      UserError: as `write_shards`; or somebody is joining the parts already.
    """
    reader: Reader = React2023Reader(any_path(raw)) if isinstance(raw, str | Path | epath.Path) else raw
    out = any_path(out)
    out = out.resolve() if isinstance(out, Path) else out
    aside = out.with_name(f".{out.name}.partial")
    check_out(reader.root, out, aside, overwrite)
    make_any_folder(aside / "clips")
    with _only_writer(aside, shared=True):
        encode_part(reader, aside, runner or Processes(1), part, report)


@contextlib.contextmanager
def _only_writer(aside: AnyPath, shared: bool = False) -> Iterator[None]:
    """Makes sure that no other run writes the same set, or only others that are shared; in a bucket none can know."""
    if not isinstance(aside, Path):
        yield
        return
    with (aside / "lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another run is writing into {aside}; wait for it, or end it") from error
        yield


def _number(folder: AnyPath) -> str:
    """What a folder is known by after it was renamed."""
    return f"{folder.stat().st_ino}" if isinstance(folder, Path) and folder.exists() else ""


def _read_mark(aside: AnyPath) -> tuple[str, str]:
    """The number of the folder of the complete set, and the digest of what it was made of."""
    number, _, made_of = (aside / "moving").read_text().partition(" ")
    return number, made_of


def _is_moved(aside: AnyPath, out: AnyPath) -> bool:
    """Whether a complete set has taken its place already, so that only the rest of the work is to be removed."""
    return (aside / "moving").is_file() and _read_mark(aside)[0] == (_number(out) or "nothing is there")


def _take_back(aside: AnyPath) -> None:
    """Makes a complete set one that is being made."""
    if _read_mark(aside)[0] != _number(aside / "set"):
        remove(aside / "set")  # it has moved, and what lies here is an older one
    (aside / "moving").unlink()


def _move_objects(folder: AnyPath, out: AnyPath) -> None:
    """Moves a complete set within a bucket, object by object; a run that was killed goes on where it stopped.

    The descriptions say how far it is: the old one goes after all that it lists, the new one comes last.
    """
    if (folder / DESCRIPTION).is_file() and (out / DESCRIPTION).is_file():
        for name in [*files_of(out), DESCRIPTION]:
            (out / name).unlink(missing_ok=True)
    if folder.exists():
        make_any_folder(out)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == DESCRIPTION):
            path.replace(out / path.name)


def _clear(aside: AnyPath) -> None:
    """Removes what the set was made of, and nothing else; last the mark that all is done."""
    for name in FOLDERS:
        remove(aside / name)
    if not isinstance(aside, Path):
        remove(aside)
        return
    for name in FILES:
        (aside / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        aside.rmdir()
