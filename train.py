"""Trains a model: `python train.py --config configs/reference.py --workdir runs/reference --data.dir SHARDS`.

Every field of the configuration is a flag, such as `--train.batch-size 4`; docs/training.md tells the rest.
"""

import argparse
import logging

from reactface_jax.config import Config, field_names, load_config
from reactface_jax.errors import UserError, reports_user_errors


@reports_user_errors
def main(words: list[str] | None = None) -> None:
    """Runs the command line `words`, the program's own by default."""
    # ---- Command line and configuration
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="fields: " + ", ".join(f"--{name.replace('_', '-')}" for name in field_names(Config)),
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="a file such as configs/reference.py")
    parser.add_argument("--workdir", required=True, help="where checkpoints and TensorBoard files go")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --workdir")
    parser.add_argument("--overwrite", action="store_true", help="remove the run in --workdir and start again")
    arguments, overrides = parser.parse_known_args(words)
    config = load_config(arguments.config, overrides)
    if not config.data.dir:
        raise UserError("--data.dir is missing; give the shards that `python -m data_pipeline.prepare shards` wrote")

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")  # other packages: warnings alone
    logging.getLogger("reactface_jax").setLevel(logging.INFO)

    # ---- Data: imported late, so that a mistake in the command line is told at once
    from data_pipeline.loader import open_shards
    from reactface_jax.training import TrainingData, check_workdir, train

    check_workdir(arguments.workdir, resume=arguments.resume, overwrite=arguments.overwrite)
    shards = open_shards(config.data.dir)
    data = TrainingData(
        description=f"{config.data.dir}, {shards.num_clips('train')} training clips",
        mean_face=shards.mean_face,
        coefficient_names=tuple(shards.description["coefficient_names"]),
        train_batches=lambda start_step: shards.train_batches(
            "train",
            batch_size=config.train.batch_size,
            num_frames=config.data.clip_frames,
            image_size=config.data.image_size,
            max_neighbours=config.data.max_neighbours,
            seed=config.train.seed,
            start_step=start_step,
        ),
        validation_batches=lambda: shards.clip_batches(
            "val",
            batch_size=config.train.batch_size,
            num_frames=config.data.clip_frames,
            image_size=config.data.image_size,
        ),
    )

    # ---- Training
    train(config, arguments.workdir, data, resume=arguments.resume, overwrite=arguments.overwrite)


if __name__ == "__main__":
    main()
