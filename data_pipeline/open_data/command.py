"""`prepare seamless`, `mars`, `vico`, `realtalk`, `responsenet`, `dualtalk`: the shard set of a public form of data."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table

from data_pipeline.open_data.cutting import Cutting
from data_pipeline.open_data.dualtalk import FLAME
from data_pipeline.open_data.open_reader import FORMS, OpenReader
from data_pipeline.progress import progress, reporter
from data_pipeline.raw_tree.react2023 import LeftOut
from data_pipeline.shards.command import encode_my_part, part_of
from data_pipeline.shards.remote import any_path
from data_pipeline.shards.runners import runner_of
from reactface_jax.arguments import Give
from reactface_jax.errors import UserError
from reactface_jax.types import FRAME_RATE
from reactface_jax.worker_pool import num_cores

_REASONS = 20
"""That are printed of a split."""


def command_for(form: str) -> Callable[..., None]:
    """The command that writes a form's shards."""

    def prepare(
        raw: Path,
        out: Annotated[str, Give("the folder to make")],
        piece_seconds: float = Cutting.piece_seconds,
        min_seconds: float = Cutting.min_seconds,
        mostly: float = Cutting.mostly,
        min_seen: float = Cutting.min_seen,
        max_apart: float = Cutting.max_apart,
        mean_degree: float = 10.0,
        keep: tuple[str, ...] = (),
        workers: int = num_cores(),
        overwrite: bool = False,
        max_bad: int = 0,
        beam: str | None = None,
        beam_options: tuple[str, ...] = (),
        shard: str = "",
    ) -> None:
        """Writes the shard set of a public form of data, which appears at --out when it is complete.

        A run that was killed goes on when it is started again, and ends in the same bytes. docs/data.md has the forms.

        Args:
          raw: the data set's folder, or one tar of it; tars are read where they lie.
          out: the folder to make.
          piece_seconds: length of the pieces that conversations are cut into.
          min_seconds: a shorter rest, or recording, is left out.
          mostly: share of a piece's talk that has to be one person's.
          min_seen: share of a piece's frames in which each face has to be seen.
          max_apart: by how many seconds the lengths of a conversation's files may differ.
          mean_degree: appropriate reactions a clip on average, its own counted, where a form's rule has near speakers.
          keep: arrays of the data set to keep beside the examples, such as movement:FAUValue; flame for DualTalk.
          workers: processes.
          overwrite: replace a shard set at --out; nothing else is ever replaced.
          max_bad: leave out so many pieces at most that turn out to be damaged when they are read.
          beam: run on Apache Beam, with this runner: DirectRunner, DataflowRunner, SparkRunner, FlinkRunner.
          beam_options: options of Beam's runner, as name=value.
          shard: i/n: encode every n-th piece, i counted from 0, and stop; without it the same command joins all parts.
        """
        if max_bad < 0:
            raise UserError(f"--max-bad {max_bad} is negative; give the number of damaged pieces that may be left out")
        runner = runner_of(workers, beam, beam_options)
        cutting = Cutting(piece_seconds, min_seconds, mostly, min_seen, max_apart)
        reader = open_reader(form, raw, cutting, keep, mean_degree)
        part = part_of(shard)
        print_listing(reader)
        if part:
            encode_my_part(reader, out, part, overwrite, runner)
            return

        from data_pipeline.shards.write import write_shards

        with progress() as bar:
            description = write_shards(
                reader, out, overwrite=overwrite, max_bad=max_bad, runner=runner, report=reporter(bar)
            )
        for name, split in description["splits"].items():
            for row in split["left_out"]:
                if row["damaged"]:
                    print(f"{name}: piece {row['row']} is left out, because it is damaged: {row['reason']}")
            print(f"{name}: {split['clips']} clips; appropriate reactions: {split['appropriateness_from']}")
        size = sum(file["bytes"] for file in description["files"].values())
        print(f"{out}: {size / 1e6:.1f} MB; next: reactface prepare verify --data {out}")

    prepare.__name__ = form
    return prepare


def open_reader(form: str, raw: Path, cutting: Cutting, keep: tuple[str, ...], mean_degree: float) -> OpenReader:
    """The reader of a form. Raises `UserError` for data in a bucket, whose tars could not be read in place."""
    if "://" in str(raw) or str(raw).startswith(("gs:/", "s3:/")):
        raise UserError(f"--raw {raw} is in a bucket; copy it, or some tars of it, to this machine")
    any_path(raw)  # a name that no file can have is reported in words
    return OpenReader(raw, form, cutting, keep, mean_degree)


def check_form(form: str, raw: Path) -> list[tuple[str, LeftOut]]:
    """Prints what there is of a form, and returns what is left out, by split.

    Raises:
      UserError: there is nothing that can be used.
    """
    reader = open_reader(form, raw, Cutting(), (FLAME,) if form == "dualtalk" else (), mean_degree=10.0)
    print_listing(reader)
    return [(split.name, row) for split in reader.all_splits() for row in split.left_out]


def print_listing(reader: OpenReader) -> None:
    """Prints what there is by split, what is left out and why, and what is worth a word."""
    reader.splits()  # raises where there is nothing to train on
    table = Table("split", "conversations", "pieces", "hours", "left out")
    for split in reader.all_splits():
        frames = sum(getattr(piece, "num_frames", 0) for piece in split.pieces)
        conversations = sum(one.split == split.name for one in reader.listing.conversations)
        hours = f"{frames / FRAME_RATE / 3600:.2f}"
        table.add_row(split.name, str(conversations), str(len(split.pieces)), hours, str(len(split.left_out)))
    Console(markup=False, emoji=False).print(table)
    for why in reader.members.damaged.values():
        print(f"left out: {why}")
    for split in reader.all_splits():
        reasons = Counter(row.reason for row in split.left_out)
        for reason, count in reasons.most_common(_REASONS):
            print(f"{split.name}: {count} left out, because {reason}")
        if len(reasons) > _REASONS:
            print(f"{split.name}: {len(reasons) - _REASONS} more reasons; the set's description.json has all")
    for note, count in sorted(reader.listing.notes.items()):
        print(f"{note} ({count})")


COMMANDS: dict[str, Callable[..., None]] = {form: command_for(form) for form in FORMS}
