"""Trains a model: `python train.py --config configs/reference.py --workdir runs/reference --data.dir SHARDS`.

Every field of the configuration is a flag, such as `--train.batch-size 4`; docs/training.md tells the rest.
"""

import argparse
import logging
import os
from pathlib import Path

from reactface_jax.config import Config, field_names, load_config
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.rendering.pirender.config import RendererConfig, is_renderer_config, load_renderer_config


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
    parser.add_argument("--workdir", help="where checkpoints and TensorBoard files go; needed unless --dry-run")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --workdir")
    parser.add_argument("--overwrite", action="store_true", help="remove the run in --workdir and start again")
    parser.add_argument(
        "--dry-run", action="store_true", help="tell shapes, memory and devices of what would run, and end"
    )
    parser.add_argument(
        "--compilation-cache",
        default=_compilation_cache(),
        metavar="DIR",
        help='where compiled programs are kept for the next run; "" keeps none (default: %(default)s)',
    )
    arguments, overrides = parser.parse_known_args(words)
    if arguments.workdir is None and not arguments.dry_run:
        raise UserError("--workdir is missing; give a directory for checkpoints and TensorBoard files")
    config: Config | RendererConfig
    if is_renderer_config(arguments.config):
        config = load_renderer_config(arguments.config, overrides)
    else:
        config = load_config(arguments.config, overrides)
    if isinstance(config, RendererConfig) and arguments.dry_run:
        raise UserError("--dry-run is for trainings of ReactFace; leave it out to train the portrait renderer")
    if not config.data.dir:
        raise UserError("--data.dir is missing; give the shards that `python -m data_pipeline.prepare shards` wrote")

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")  # other packages: warnings alone
    logging.getLogger("reactface_jax").setLevel(logging.INFO)

    if arguments.compilation_cache:
        import jax

        jax.config.update("jax_compilation_cache_dir", str(Path(arguments.compilation_cache).expanduser()))

    if isinstance(config, RendererConfig):
        train_portrait(config, arguments)
        return

    # ---- The job's other processes, if any
    from reactface_jax.training import hosts

    hosts.join(config.hosts)
    with hosts.ending_together():
        if not hosts.is_first():
            logging.getLogger("reactface_jax").setLevel(logging.WARNING)
        train_reactions(config, arguments)


def train_reactions(config: Config, arguments: argparse.Namespace) -> None:
    """Trains a model that reacts."""
    # ---- Data: imported late, so that a mistake in the command line is told at once
    from data_pipeline.loader import open_shards
    from reactface_jax.training.loop import TrainingData, check_workdir, train
    from reactface_jax.training.sharding import host_rows, make_mesh
    from reactface_jax.types import Clips

    if not arguments.dry_run:
        check_workdir(arguments.workdir, resume=arguments.resume, overwrite=arguments.overwrite)
    shards = open_shards(config.data.dir)
    eval_frames = min(config.data.eval_frames, int(shards.num_frames("val").min()))
    rows = host_rows(make_mesh(config=config.mesh), config.train.batch_size)
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
            rows=rows,
        ),
        validation_batches=lambda: shards.clip_batches(
            "val",
            batch_size=config.train.batch_size,
            num_frames=eval_frames,
            image_size=config.data.image_size,
            rows=rows,
        ),
        listeners=shards.listeners("train"),
        validation_clips=lambda: Clips(
            *shards.coefficients("val"),
            shards.appropriateness("val"),
            shards.clip_ids("val"),
            tuple(shards.description["coefficient_names"]),
        ),
        clip_ids=shards.clip_ids("train"),
    )

    # ---- Training
    train(
        config,
        arguments.workdir or "",
        data,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
    )


def _compilation_cache() -> str:
    """JAX's own variable, or a folder of the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return os.environ.get("JAX_COMPILATION_CACHE_DIR", f"{cache}/reactface_jax/compiled")


def train_portrait(config: RendererConfig, arguments: argparse.Namespace) -> None:
    """Trains the portrait renderer instead."""
    from data_pipeline.loader import open_shards
    from reactface_jax.rendering.pirender.training import RendererBatches, train_renderer

    shards = open_shards(config.data.dir)
    length, size = config.data.clip_frames, config.data.image_size
    data = RendererBatches(
        mean_face=shards.mean_face,
        std_face=shards.std_face,
        train=lambda start_step: shards.train_batches(
            "train",
            batch_size=config.train.clips,
            num_frames=length,
            image_size=size,
            max_neighbours=0,
            seed=config.train.seed,
            start_step=start_step,
        ),
        validation=lambda: shards.clip_batches("val", batch_size=1, num_frames=length, image_size=size),
    )
    train_renderer(config, arguments.workdir, data, resume=arguments.resume, overwrite=arguments.overwrite)


if __name__ == "__main__":
    main()
