"""The first half of writing shards: which pieces of a form of data can be used, and their clips encoded aside."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data_pipeline.raw_tree.react2023 import LeftOut
from data_pipeline.raw_tree.reader import Appropriate, Pieces, Reader, Tables, Tracks
from data_pipeline.shards.parts import Encoded, EncodePair, read_tables
from data_pipeline.shards.remote import AnyPath
from data_pipeline.shards.runners import Runner
from reactface_jax.errors import UserError

_READERS = 16  # threads that read small files: in a bucket each takes its time


@dataclass
class Pair:
    """A piece that can be used, as far as is known yet."""

    job: EncodePair
    given: Tracks | None  # coefficients that lie with the data
    result: Encoded = field(default_factory=lambda: Encoded(key=""))  # of the job

    @property
    def tracks(self) -> Tracks:
        """Raw coefficients. Of measured ones, those that encoding has put aside."""
        return self.given or read_tables(self.job.tables_file)[0]

    @property
    def lengths(self) -> list[int]:
        """Frames of both people's coefficients, without reading measured ones."""
        return [len(track) for track in self.given] if self.given else self.result["frames"]

    @property
    def tables(self) -> tuple[Tables, Tables]:
        """What is kept of both people beside the examples."""
        return ({}, {}) if self.given else read_tables(self.job.tables_file)[1]


@dataclass(frozen=True)
class Content:
    """A split with what is known of its appropriate reactions and of its pieces, in their order."""

    split: Pieces
    appropriate: Appropriate
    pairs: list[Pair]

    def only(self, kept: list[int]) -> "Content":
        """The split with only some of its pieces, by their positions."""
        return Content(self.split.only(kept), self.appropriate.only(kept), [self.pairs[i] for i in kept])


class Damage:
    """Pairs that are left out because a file of theirs can't be used, up to a limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows: dict[str, list[LeftOut]] = {}

    def add(self, split: str, pair: EncodePair, why: str) -> None:
        """Adds a pair. Raises `UserError` when it is one too many."""
        row = LeftOut(pair.row, *pair.piece.ids, why, damaged=True)
        self.rows.setdefault(split, []).append(row)
        if sum(map(len, self.rows.values())) > self.most:
            raise UserError(
                f"{row.speaker} with {row.listener}, row {row.row} of {split}.csv, can't be used: {why} (or let more "
                f"than {self.most} pairs be left out with --max-bad; what is done already is kept)"
            )


def list_contents(reader: Reader, aside: AnyPath) -> list[Content]:
    """All pieces of each split, before one is read. Raises `UserError` when nothing can be used.

    Args:
      reader: of the data.
      aside: the folder whose clips/ keeps what was done.
    """
    return [
        Content(split, reader.appropriate(split), [Pair(job, None) for job in _jobs(aside, split)])
        for split in reader.splits()
    ]


def _jobs(aside: AnyPath, split: Pieces) -> list[EncodePair]:
    rows = zip(split.rows, split.pieces, strict=True)
    return [EncodePair(aside / "clips", split.name, row, piece) for row, piece in rows]


def input_digest(reader: Reader, contents: list[Content], *settings: int) -> str:
    """SHA-256 of all that a set is made of: another one stands for another set.

    Args:
      reader: of the data.
      contents: as listed.
      settings: of the command.
    """
    root = reader.root.resolve() if isinstance(reader.root, Path) else reader.root
    content: list[object] = [str(root), reader.coefficient_names(), reader.statistics(), reader.form(), settings]
    for of_split in contents:
        with ThreadPoolExecutor(_READERS) as pool:
            keys = list(pool.map(EncodePair.key, [pair.job for pair in of_split.pairs]))
        split, labels = of_split.split, of_split.appropriate
        left_out = [vars(row) for row in split.left_out]
        content += [split.name, split.rows, split.num_rows, left_out, keys, type(labels).__name__, vars(labels)]
    return hashlib.sha256(json.dumps(content, default=_array_digest).encode()).hexdigest()


def _array_digest(array: np.ndarray) -> str:
    return f"{array.shape} {hashlib.sha256(np.ravel(array).data).hexdigest()}"


def encode(
    reader: Reader,
    contents: list[Content],
    runner: Runner,
    max_bad: int,
    report: Callable[[str, int, int], None],
) -> list[Content]:
    """Encodes the pieces that are not encoded yet, and returns what of each split can be used.

    Args:
      reader: of the data.
      contents: as listed.
      runner: does the work.
      max_bad: pieces that may be damaged.
      report: called with (split, clips done, of how many).

    Raises:
      UserError: more pieces are damaged, or something that concerns all of them is.
    """
    damage = Damage(max_bad)
    # All that is cheap to read comes first, so that a bad file stops the work in seconds.
    contents = [_with_tracks(reader, content, damage) for content in contents]
    sizes = FrameSizes()
    return [_encode_split(content, runner, damage, sizes, report) for content in contents]


def encode_part(
    reader: Reader, aside: AnyPath, runner: Runner, part: tuple[int, int], report: Callable[[str, int, int], None]
) -> None:
    """Encodes every n-th piece that is not encoded yet; what is damaged is noted, for `encode` to count later.

    Args:
      reader: of the data.
      aside: the folder whose clips/ keeps what was done; others may write their parts there meanwhile.
      runner: does the work.
      part: (i, n): the pieces i, i + n, i + 2n, ... of each split.
      report: called with (split, clips done, of how many).
    """
    number, count = part
    for split in reader.splits():
        jobs = _jobs(aside, split)[number::count]
        waiting = [job for job in jobs if job.earlier() is None]
        done = len(jobs) - len(waiting)
        report(split.name, 2 * done, 2 * len(jobs))
        with contextlib.closing(runner.run(waiting)) as finished:
            for _ in finished:
                done += 1
                report(split.name, 2 * done, 2 * len(jobs))


def _with_tracks(reader: Reader, content: Content, damage: Damage) -> Content:
    """Reads the coefficients that lie with the data, and leaves out pieces whose coefficients are unusable."""
    kept = []
    for number, given in enumerate(_read_tracks(reader, content.split)):
        pair = content.pairs[number]
        if isinstance(given, UserError):
            damage.add(content.split.name, pair.job, str(given))
        else:
            pair.given = given
            kept.append(number)
    return content.only(kept)


def _read_tracks(reader: Reader, split: Pieces) -> Iterator[Tracks | UserError | None]:
    """The coefficients of each piece, or what is wrong with them."""

    def read(number: int) -> Tracks | UserError | None:
        try:
            return reader.tracks(split.pieces[number])
        except UserError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(read, range(len(split.pieces)))


def _encode_split(
    content: Content, runner: Runner, damage: Damage, sizes: "FrameSizes", report: Callable[[str, int, int], None]
) -> Content:
    name = content.split.name
    pairs = {pair.job: pair for pair in content.pairs}
    not_usable: list[LeftOut] = []
    widths = Widths()

    def note(job: EncodePair, result: Encoded) -> None:
        pairs[job].result = result
        if "damage" in result:
            damage.add(name, job, result["damage"])
        elif "not_usable" in result:
            not_usable.append(LeftOut(job.row, *job.piece.ids, result["not_usable"]))
        else:
            for person, size in zip(job.piece.ids, result["sizes"], strict=True):
                sizes.add(person, *size)
            for person, of_clip in zip(job.piece.ids, result.get("widths", ()), strict=False):  # an earlier version: ()
                widths.add(person, of_clip)

    with ThreadPoolExecutor(_READERS) as pool:
        earlier = dict(zip(pairs, pool.map(EncodePair.earlier, pairs), strict=True))
    for job, result in earlier.items():
        if result is not None:
            note(job, result)
    waiting = [job for job, result in earlier.items() if result is None]
    done = len(pairs) - len(waiting)
    report(name, 2 * done, 2 * len(pairs))
    with contextlib.closing(runner.run(waiting)) as finished:
        for job in finished:
            result = job.result()
            if result is None:
                raise UserError(f"the files of {job.piece.ids[0]} changed while they were read; start again")
            note(job, result)
            done += 1
            report(name, 2 * done, 2 * len(pairs))
    usable = content.only([index for index, pair in enumerate(content.pairs) if "frames" in pair.result])
    if not usable.pairs and not not_usable:
        raise UserError(f"every pair of {name} is damaged; the first: {damage.rows[name][0].reason}")
    if not usable.pairs:
        raise UserError(f"no piece of {name} can be used; the first: {not_usable[0].reason}")
    left_out = sorted(content.split.left_out + damage.rows.get(name, []) + not_usable, key=lambda row: row.row)
    return replace(usable, split=replace(usable.split, left_out=left_out))


class FrameSizes:
    """Makes sure that all videos of a tree have one size."""

    def __init__(self) -> None:
        self.first: tuple[str, int, int] | None = None

    def add(self, clip: str, height: int, width: int) -> None:
        """Compares a clip's size with the first clip's. Raises `UserError` when an earlier one had another."""
        self.first = self.first or (clip, height, width)
        one, *size = self.first
        if [height, width] != size:
            raise UserError(
                f"the video of {clip} is {height}x{width}, that of {one} {size[0]}x{size[1]}; convert one of them"
            )


class Widths:
    """Makes sure that each kind of what is kept beside a split's clips has one width: it becomes one table."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[str, int]] = {}

    def add(self, clip: str, widths: dict[str, int]) -> None:
        """Compares a clip's with the first clips'. Raises `UserError` when an earlier one had another."""
        for kind, width in widths.items():
            one, expected = self.first.setdefault(kind, (clip, width))
            if width != expected:
                raise UserError(
                    f"{kind} of {clip} has {width} columns, that of {one} {expected}; leave it out of --keep, or "
                    "take one of the two out of the data"
                )
