"""Losses that are not finite: found soon after their step, while the device goes on; reported with clips and a dump."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils

from reactface_jax.config import Config, config_from_json
from reactface_jax.errors import UserError
from reactface_jax.files import replacing
from reactface_jax.methods.learned import Variables
from reactface_jax.training.state import TrainState
from reactface_jax.training.training_log import Metrics
from reactface_jax.types import Batch


class Launched(NamedTuple):
    """A step that the device has been given."""

    step: int
    batch: Batch
    """On the host."""
    metrics: Metrics


class Dump(NamedTuple):
    """What is needed to compute a step again."""

    config: Config
    variables: Variables
    key: np.ndarray
    """Data of the run's root key."""
    step: int
    """Updates before it."""
    batch: Batch
    clip_ids: tuple[str, ...]


def first_not_finite(launched: list[Launched], unfinished: int) -> Launched | None:
    """Waits for all but the newest `unfinished` steps and takes those that are well off the list.

    Returns:
      The first step whose loss or gradient is not finite.
    """
    while len(launched) > unfinished:
        metrics = launched[0].metrics
        if not all(map(math.isfinite, jax.device_get((metrics["loss"], metrics["gradient_norm"])))):
            return launched[0]
        launched.pop(0)
    return None


def diverged(bad: Launched, state: TrainState, config: Config, clip_ids: Sequence[str], folder: Path) -> UserError:
    """Writes the dump of a step that was not finite, and returns the error to raise.

    Args:
      bad: the step.
      state: after it, which is as before it.
      config: the experiment.
      clip_ids: names of the training split's clips, by row.
      folder: where the dump goes.
    """
    host = f"-host{jax.process_index()}" if jax.process_count() > 1 else ""
    path = folder / f"diverged-step-{bad.step}{host}.npz"
    names = tuple(clip_ids[row] if row < len(clip_ids) else f"row {row}" for row in bad.batch.clip)
    variables, key = _fetch(state.variables), _fetch(jax.random.key_data(state.key))
    dump = Dump(config, variables, key, bad.step - 1, bad.batch, names)
    _write(path, dump)
    values = ", ".join(
        f"{name} is {float(value)}" for name, value in jax.device_get(bad.metrics).items() if not math.isfinite(value)
    )
    return UserError(
        f"training diverged at step {bad.step}: {values}; the batch's clips are {', '.join(names)}; "
        f"`reactface replay {path}` computes this step again and says where it happens; then start again "
        f"{_otherwise(config)}"
    )


def _otherwise(config: Config) -> str:
    """What may help, by the flags that the method has."""
    rates = " and ".join(f"--{rate.replace('_', '-')}" for rate in config.rates)
    if config.uses_optimizer:
        return f"without a damaged clip, with a lower {rates} or with --optimizer.clip-norm 1"
    return f"without a damaged clip or with a lower {rates}"


def read_dump(path: Path) -> Dump:
    """Raises `UserError` if the file is missing, or no dump."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the diverged-step-*.npz that a training wrote")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        fields = {name: arrays.pop(f"batch/{name}") for name in Batch._fields}
        key = arrays.pop("key")
        trees = {"params": {}, "state": {}} | unflatten_dict(arrays, sep="/")
        config = config_from_json(about["config"])
        return Dump(
            config,
            Variables(trees["params"], trees["state"]),
            key,
            about["step"],
            Batch(**fields),
            tuple(about["clip_ids"]),
        )
    except UserError:
        raise
    except Exception as error:  # zipfile and NumPy raise many kinds for a file that was cut off
        raise UserError(f"{path} is no dump of a training, or damaged; train again to get another") from error


def _write(path: Path, dump: Dump) -> None:
    about = {"config": dataclasses.asdict(dump.config), "step": dump.step, "clip_ids": dump.clip_ids}
    arrays = flatten_dict(dump.variables._asdict(), sep="/")
    batch = {f"batch/{name}": np.asarray(array) for name, array in dump.batch._asdict().items()}
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), key=dump.key, **batch, **arrays)


def _fetch(tree: Any) -> Any:
    """To this host; what is split over several is gathered, which all of them must ask for."""
    return multihost_utils.process_allgather(tree, tiled=True) if jax.process_count() > 1 else jax.device_get(tree)
