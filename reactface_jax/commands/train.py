"""`reactface train`: trains a model that reacts, the portrait renderer or the listener; the configuration says which.

    reactface train --config reference --workdir runs/reference --data.dir SHARDS

Every field of the configuration is a flag, such as `--train.batch-size 4`; docs/training.md explains the rest.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from reactface_jax.arguments import Give
from reactface_jax.compiled_programs import default_folder, keep_compiled_programs
from reactface_jax.config import Config, apply_overrides
from reactface_jax.config_files import read_config_file
from reactface_jax.config_flags import parse_with_fields
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.methods.listener.config import ListenerConfig
from reactface_jax.rendering.portrait.config import RendererConfig

AnyConfig = Config | RendererConfig | ListenerConfig


@dataclass(frozen=True)
class Arguments:
    """Trains a model. Besides these flags it takes every field of the configuration."""

    config: Annotated[str, Give("a name such as demo or reference, or a file")]
    """The configuration: a name, such as reference, or a file."""
    workdir: Path | None = None
    """The run's folder, for checkpoints and TensorBoard files; needed unless --dry-run."""
    resume: bool = False
    """Go on from the newest checkpoint in --workdir."""
    overwrite: bool = False
    """Replace the run in --workdir, which is removed once the new one has made a step."""
    dry_run: bool = False
    """Print shapes, memory and devices of what would run, and end."""
    compilation_cache: str = field(default_factory=default_folder)
    """Folder in which compiled programs are kept for the next run; "" keeps none."""


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs the words of a command line, the program's own by default."""
    # ---- Command line and configuration
    arguments, config = parse(words)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")  # other packages: only warnings
    logging.getLogger("reactface_jax").setLevel(logging.INFO)
    keep_compiled_programs(arguments.compilation_cache)

    # ---- Data and training, imported now that the command line is right
    from reactface_jax.commands.training_data import portrait_data, reaction_data
    from reactface_jax.methods.listener.training_data import train_listener
    from reactface_jax.rendering.portrait.training import train_renderer
    from reactface_jax.training import hosts
    from reactface_jax.training.loop import train
    from reactface_jax.weights.workdir import check_workdir

    how = {"resume": arguments.resume, "overwrite": arguments.overwrite}
    if not isinstance(config, Config):
        hosts.refuse_several("the training of the renderer or of the listener")
    if isinstance(config, RendererConfig):
        train_renderer(config, arguments.workdir or "", portrait_data(config), **how)
        return
    if isinstance(config, ListenerConfig):
        train_listener(config, arguments.workdir or "", log=logging.getLogger("reactface_jax").info, **how)
        return
    hosts.join(config.hosts)  # the job's other processes, if any
    with hosts.ending_together():
        if not hosts.is_first():
            logging.getLogger("reactface_jax").setLevel(logging.WARNING)
        if not arguments.dry_run:
            check_workdir(arguments.workdir or "", **how)
        train(config, arguments.workdir or "", reaction_data(config), dry_run=arguments.dry_run, **how)


def parse(words: Sequence[str] | None) -> tuple[Arguments, AnyConfig]:
    """Reads the command line. Raises `UserError` for what it lacks, and for what contradicts itself."""
    arguments, fields = parse_with_fields(
        Arguments,
        words,
        prog="reactface train",
        fields_of=lambda given: type(_load(given.config)),
        shown=lambda given: Config() if given is None else _load(given.config),
    )
    if arguments.workdir is None and not arguments.dry_run:
        raise UserError("--workdir is missing; give a folder for checkpoints and TensorBoard files")
    config = _load(arguments.config, fields)
    if not isinstance(config, Config) and arguments.dry_run:
        raise UserError("--dry-run is for trainings of ReactFace; leave it out to train the renderer or the listener")
    if not config.data.dir and not isinstance(config, ListenerConfig):  # which makes its conversations itself
        raise UserError("--data.dir is missing; give the shards that `reactface prepare shards` wrote")
    return arguments, config


def _load(name: str, fields: Sequence[str] = ()) -> AnyConfig:
    config = read_config_file(name)
    if not isinstance(config, AnyConfig):
        raise UserError(f"configuration {name} must define `config = Config(...)`, RendererConfig or ListenerConfig")
    return apply_overrides(config, fields)


if __name__ == "__main__":
    main()
