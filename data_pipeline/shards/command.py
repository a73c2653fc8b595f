"""`prepare shards`: a raw tree's shard set."""

from typing import Annotated

from data_pipeline.progress import progress, reporter
from data_pipeline.raw_tree.react2023 import list_splits, warning_of_repeated_rows, warning_of_shared_people
from data_pipeline.raw_tree.reader import Reader
from data_pipeline.shards.remote import any_path
from data_pipeline.shards.runners import Runner, runner_of
from reactface_jax.arguments import Give
from reactface_jax.errors import UserError
from reactface_jax.worker_pool import num_cores


def shards(
    raw: Annotated[str, Give("the tree's folder, or gs://bucket/folder")],
    out: Annotated[str, Give("the folder to make, or gs://bucket/folder")],
    workers: int = num_cores(),
    overwrite: bool = False,
    max_bad: int = 0,
    beam: str | None = None,
    beam_options: tuple[str, ...] = (),
    shard: str = "",
) -> None:
    """Writes the shard set of a raw tree, which appears at --out when it is complete.

    A run that was killed goes on when it is started again, and ends in the same bytes.

    Args:
      raw: the tree's folder, with train.csv and Video_files/; or gs://bucket/folder.
      out: the folder to make; or gs://bucket/folder.
      workers: processes that decode videos.
      overwrite: replace a shard set at --out; nothing else is ever replaced.
      max_bad: leave out so many pairs at most whose files are damaged.
      beam: run on Apache Beam, with this runner: DirectRunner, DataflowRunner, SparkRunner, FlinkRunner.
      beam_options: options of Beam's runner, as name=value.
      shard: i/n: encode every n-th piece, i counted from 0, and stop; without it the same command joins all parts.
    """
    if max_bad < 0:
        raise UserError(f"--max-bad {max_bad} is negative; give the number of damaged pairs that may be left out")
    runner = runner_of(workers, beam, beam_options)
    part = part_of(shard)
    splits = list_splits(any_path(raw))  # a wrong --raw is reported before TensorFlow is imported
    if left_out := sum(len(split.left_out) for split in splits):
        print(f"{left_out} rows are left out, because files are missing: see `check`, or description.json")
    for warning in filter(None, (warning_of_shared_people(splits), warning_of_repeated_rows(splits))):
        print(warning)
    if all(speaker.video is None for split in splits for speaker, _ in split.pairs):
        print(f"{raw} has no folder Video_files: the shards will have no pictures")

    if part:
        encode_my_part(raw, out, part, overwrite, runner)
        return

    from data_pipeline.shards.write import write_shards

    with progress() as bar:
        description = write_shards(raw, out, overwrite=overwrite, max_bad=max_bad, runner=runner, report=reporter(bar))
    for name, split in description["splits"].items():
        for row in split["left_out"]:
            if row["damaged"]:
                print(f"{name}: row {row['row']} is left out, because it is damaged: {row['reason']}")
    size = sum(file["bytes"] for file in description["files"].values())
    print(f"{out}: {sum(split['clips'] for split in description['splits'].values())} clips, {size / 1e6:.1f} MB")


def part_of(shard: str) -> tuple[int, int] | None:
    """(i, n) of "i/n"; None for nothing. Raises `UserError` for anything else, or when i is not in [0, n)."""
    if not shard:
        return None
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise UserError(f"--shard {shard} must be i/n with i from 0 to n - 1, such as 0/8")
    return int(number), int(count)


def encode_my_part(raw: str | Reader, out: str, part: tuple[int, int], overwrite: bool, runner: Runner) -> None:
    """Does a part of the work and says so.

    Args:
      raw: the tree, or a reader.
      out: where the set will be.
      part: (i, n).
      overwrite: whether a set there may be replaced later.
      runner: does the work.
    """
    from data_pipeline.shards.write import write_part

    with progress() as bar:
        write_part(raw, out, part, overwrite=overwrite, runner=runner, report=reporter(bar))
    print(f"part {part[0]} of {part[1]} is encoded; when all are, the same command without --shard joins them in {out}")
