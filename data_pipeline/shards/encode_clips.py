"""The first half of writing shards: which pairs of a raw tree can be used, and their clips encoded aside."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.raw_tree.clip_arrays import read_coefficient_names, read_coefficients, read_statistics
from data_pipeline.raw_tree.react2023 import (
    LeftOut,
    Split,
    list_splits,
    neighbours,
)
from data_pipeline.shards.parts import Encoded, EncodePair
from data_pipeline.shards.remote import AnyPath
from data_pipeline.shards.runners import Runner
from reactface_jax.errors import UserError

_READERS = 16  # threads that read small files: in a bucket each takes its time

Tracks = tuple[Float[np.ndarray, "_ 58"], Float[np.ndarray, "_ 58"]]
"""Raw coefficients of a pair: the speaker's, the listener's."""


@dataclass
class Pair:
    """A row of a csv that can be used, as far as is known yet."""

    job: EncodePair
    tracks: Tracks
    result: Encoded = field(default_factory=lambda: Encoded(key=""))  # of the job


@dataclass(frozen=True)
class Content:
    """A split with its matrix, and what is known of its pairs, in the csv's order."""

    split: Split
    labels: Bool[np.ndarray, "_ _"]
    labels_from: str
    pairs: list[Pair]

    def only(self, kept: list[int]) -> "Content":
        """The split with only some of its pairs, by their positions."""
        count = len(self.labels) // 2
        rows = np.array(kept + [index + count for index in kept], int)
        split = replace(
            self.split,
            pairs=[self.split.pairs[index] for index in kept],
            rows=[self.split.rows[index] for index in kept],
        )
        return Content(split, self.labels[np.ix_(rows, rows)], self.labels_from, [self.pairs[i] for i in kept])


class Damage:
    """Pairs that are left out because a file of theirs can't be used, up to a limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows: dict[str, list[LeftOut]] = {}

    def add(self, split: str, pair: EncodePair, why: str) -> None:
        """Adds a pair. Raises `UserError` when it is one too many."""
        row = LeftOut(pair.row, pair.speaker.id, pair.listener.id, why, damaged=True)
        self.rows.setdefault(split, []).append(row)
        if sum(map(len, self.rows.values())) > self.most:
            raise UserError(
                f"{row.speaker} with {row.listener}, row {row.row} of {split}.csv, can't be used: {why} (or let more "
                f"than {self.most} pairs be left out with --max-bad; what is done already is kept)"
            )


def encode(
    raw: AnyPath, aside: AnyPath, runner: Runner, max_bad: int, report: Callable[[str, int, int], None]
) -> list[Content]:
    """Encodes the pairs of a tree that are not encoded yet, and returns what of each split can be used.

    Args:
      raw: the tree.
      aside: the folder whose clips/ keeps what was done.
      runner: does the work.
      max_bad: pairs that may be damaged.
      report: called with (split, clips done, of how many).

    Raises:
      UserError: more pairs are damaged, or something that concerns all of them is.
    """
    damage = Damage(max_bad)
    # All that is cheap to read comes first, so that a bad file stops the work in seconds.
    splits = list_splits(raw)
    read_coefficient_names(raw)
    if read_statistics(raw) is None and "train" not in {split.name for split in splits}:
        raise UserError(f"{raw} has neither train.csv nor mean_face.npy and std_face.npy; add one of them")
    contents = [_with_tracks(raw, aside, split, damage) for split in splits]
    sizes = FrameSizes()
    return [_encode_split(content, runner, damage, sizes, report) for content in contents]


def _with_tracks(raw: AnyPath, aside: AnyPath, split: Split, damage: Damage) -> Content:
    """Reads the coefficients of a split's pairs, and leaves out pairs whose coefficients are unusable."""
    labels, source = neighbours(raw, split)
    jobs = [
        EncodePair(aside / "clips", split.name, row, *pair) for row, pair in zip(split.rows, split.pairs, strict=True)
    ]
    found: list[Pair | None] = []
    for job, tracks in zip(jobs, _read_tracks(split), strict=True):
        if isinstance(tracks, UserError):
            damage.add(split.name, job, str(tracks))
        found.append(None if isinstance(tracks, UserError) else Pair(job, tracks))
    kept = [index for index, pair in enumerate(found) if pair is not None]
    content = Content(
        split, labels, source, [pair or Pair(job, _NOTHING) for pair, job in zip(found, jobs, strict=True)]
    )
    return content.only(kept)


_NOTHING: Tracks = (np.zeros((0, 58), np.float32), np.zeros((0, 58), np.float32))


def _read_tracks(split: Split) -> Iterator[Tracks | UserError]:
    """The coefficients of each pair, or what is wrong with them."""

    def read(pair: int) -> Tracks | UserError:
        try:
            speaker, listener = split.pairs[pair]
            return read_coefficients(speaker.coefficients), read_coefficients(listener.coefficients)
        except UserError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(read, range(len(split.pairs)))


def _encode_split(
    content: Content, runner: Runner, damage: Damage, sizes: "FrameSizes", report: Callable[[str, int, int], None]
) -> Content:
    name = content.split.name
    pairs = {pair.job: pair for pair in content.pairs}

    def note(job: EncodePair, result: Encoded) -> None:
        pairs[job].result = result
        if "damage" in result:
            damage.add(name, job, result["damage"])
        else:
            sizes.add(job.speaker.id, *result["sizes"][0])
            sizes.add(job.listener.id, *result["sizes"][1])

    with ThreadPoolExecutor(_READERS) as pool:
        earlier = dict(zip(pairs, pool.map(EncodePair.result, pairs), strict=True))
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
                raise UserError(f"the files of {job.speaker.id} changed while they were read; start again")
            note(job, result)
            done += 1
            report(name, 2 * done, 2 * len(pairs))
    usable = content.only([index for index, pair in enumerate(content.pairs) if "damage" not in pair.result])
    if not usable.pairs:
        raise UserError(f"every pair of {name} is damaged; the first: {damage.rows[name][0].reason}")
    left_out = sorted(content.split.left_out + damage.rows.get(name, []), key=lambda row: row.row)
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
