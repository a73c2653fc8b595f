"""Whatever has been trained, by its run or its converted folder: what evaluation and `react` know of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key

from reactface_jax.config import Config, config_from_json
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.method import Inputs, Method
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.rows import learned_method, picture_size
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.models.build import build_model
from reactface_jax.online.generation import Protocol as GenerationProtocol
from reactface_jax.online.generation import protocol_of
from reactface_jax.shard_set import open_shards
from reactface_jax.weights.params_file import CONFIG_NAME, load_params
from reactface_jax.weights.run import Run, load_run


@runtime_checkable
class TrainedMethod(Method, Protocol):
    """A method whose clips have keys of their own, so that a split can be answered in batches of any size."""

    @property
    def image_size(self) -> int:
        """Height and width of the frames that it sees; 0 if it sees none."""
        ...

    def answer(self, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " N"]) -> Float[np.ndarray, "N K T C"]:
        """As `generate`, with a key a clip and voices that are normalised over their files."""
        ...


class Stored(NamedTuple):
    """Variables and their configuration, as they were read."""

    config: Config
    variables: Variables
    folder: Path
    """Where they came from."""
    source: str
    """The same in words, for the report."""
    mean_face: Float[np.ndarray, " C"] | None = None
    """Of the training's data; a converted checkpoint does not say which data it belongs to."""
    coefficient_names: tuple[str, ...] | None = None


def stored_run(run: Run, folder: Path) -> Stored:
    """Of a training run that was read from a folder."""
    variables = Variables(run.params, run.method_state)
    return Stored(run.config, variables, folder, f"{folder}, step {run.step}", run.mean_face, run.coefficient_names)


def stored_folder(folder: Path) -> Stored:
    """Of what `reactface convert` wrote. Raises `UserError` if that is no method."""
    arrays, values = load_params(folder)
    if "method" in values:
        variables = Variables(arrays.get("params", {}), arrays.get("state", {}))
        return Stored(_config(values), variables, folder, str(folder))
    if "model" not in values:
        raise UserError(
            f"{folder} holds no method that reacts; convert one, such as with `reactface convert reactface`"
        )
    return Stored(_config({"model": values["model"]}), Variables(arrays, {}), folder, str(folder))


def read_stored(folder: Path, step: int | Literal["best"] | None, average: bool) -> Stored:
    """What a training or `reactface convert` left. Raises `UserError` if it can't be read."""
    if (folder / CONFIG_NAME).is_file():
        return stored_folder(folder)
    return stored_run(load_run(folder, step, average=average), folder)


def data_of(stored: Stored, data: Path | None) -> tuple[Float[np.ndarray, " C"], tuple[str, ...]]:
    """The face at rest and the coefficients' names of the data that a method belongs to.

    Args:
      stored: a run, which knows them, or a converted checkpoint, which does not.
      data: shards of the converted checkpoint's data.

    Raises:
      UserError: data are missing, not wanted, or not there.
    """
    if stored.mean_face is not None and stored.coefficient_names is not None:
        if data is not None:
            raise UserError(f"--data is for a converted checkpoint; the training {stored.folder} knows its own")
        return stored.mean_face, stored.coefficient_names
    if data is None:
        raise UserError(
            f"{stored.folder} was converted and does not say of which data; give them with --data, as "
            "`reactface prepare shards` wrote them"
        )
    shards = open_shards(str(data))
    return shards.mean_face, tuple(shards.description["coefficient_names"])


def make_trained(
    config: Config, variables: Variables, mean_face: Float[np.ndarray, " C"], protocol: GenerationProtocol | None = None
) -> TrainedMethod:
    """The method, ready to answer; by the configuration's own protocol if none is given.

    Raises:
      UserError: the variables are another configuration's, or the method has no such protocol.
    """
    if config.method == "reactface":
        model = build_model(config.model)
        size, protocol = config.data.image_size, protocol or protocol_of(config)
        return TrainedReactFace(model, variables.params, mean_face, size, protocol)
    method = learned_method(config)
    if protocol is not None:
        raise UserError(f"--protocol {protocol} is for ReactFace; leave it out for {method.name}")
    return Ready(method, variables, mean_face, picture_size(config))


def _config(values: Mapping[str, Any]) -> Config:
    return config_from_json({name: value for name, value in values.items() if value})
