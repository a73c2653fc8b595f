"""Prepares data: check a raw tree, write its shards, read a shard set back.

    reactface prepare check  --raw ROOT [--max-bad N]
    reactface prepare shards --raw ROOT --out DIR [--workers N] [--max-bad N] [--overwrite] [--beam RUNNER]
    reactface prepare verify --data DIR
    reactface prepare look   --data DIR --out page.html
    reactface prepare labels --raw ROOT --source full|attributes|coefficients [--mean-degree 20]
    reactface prepare import --pairs pairs.csv --out ROOT [--workers N]
    reactface prepare extract VIDEO --out DIR [--face right]
    reactface prepare seamless|mars|vico|realtalk|responsenet|dualtalk --raw FOLDER_OR_TAR --out DIR [--workers N]

Each has a --help of its own.
"""

# Each command is a function in a module beside this one. TensorFlow takes seconds to import, and worker processes
# import this file: the commands import it themselves.

from collections.abc import Callable, Sequence

from data_pipeline.labels.command import labels
from data_pipeline.look.command import look
from data_pipeline.open_data.command import COMMANDS as FORMS
from data_pipeline.own_recordings.command import extract, import_pairs
from data_pipeline.raw_tree.check import check
from data_pipeline.shards.command import shards
from data_pipeline.shards.verify import verify
from reactface_jax import arguments
from reactface_jax.errors import reports_user_errors

COMMANDS: dict[str, Callable[..., None]] = {
    "check": check,
    "shards": shards,
    "verify": verify,
    "look": look,
    "labels": labels,
    "import": import_pairs,
    "extract": extract,
    **FORMS,
}


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs the command that the first of the words names; they are the program's own by default."""
    arguments.choose(COMMANDS, words, prog="reactface prepare", description=__doc__)


if __name__ == "__main__":
    main()
