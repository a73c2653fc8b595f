"""Prepares data: check a raw tree, write its shards, read a shard set back.

python -m data_pipeline.prepare check  --raw ROOT [--max-bad N]
python -m data_pipeline.prepare shards --raw ROOT --out DIR [--workers N] [--max-bad N] [--overwrite] [--beam RUNNER]
python -m data_pipeline.prepare verify --data DIR
python -m data_pipeline.prepare labels --raw ROOT --source full|attributes|coefficients [--mean-degree 20]
python -m data_pipeline.prepare import --pairs pairs.csv --out ROOT [--workers N]
python -m data_pipeline.prepare extract VIDEO --out DIR [--face right]

Each command is a function in a module beside this one. TensorFlow takes seconds to import, and worker processes import
this file: the commands import it themselves.
"""

import tyro

from data_pipeline.labels.command import labels
from data_pipeline.own_recordings.command import extract, import_pairs
from data_pipeline.raw_tree.check import check
from data_pipeline.shards.command import shards
from data_pipeline.shards.verify import verify
from reactface_jax.errors import reports_user_errors


@reports_user_errors
def main() -> None:
    """Runs the command that the first word names."""
    tyro.extras.subcommand_cli_from_dict(
        {
            "check": check,
            "shards": shards,
            "verify": verify,
            "labels": labels,
            "import": import_pairs,
            "extract": extract,
        },
        description=__doc__,
    )


if __name__ == "__main__":
    main()
