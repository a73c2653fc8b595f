"""What an interrupted training of the listener goes on from, and whether it may: training_state.npz.

Beside all that changes in a step the file holds what must stay: the configuration, the motion space, in which the
parameters are learnt, and by what the data are known again.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Shaped

from reactface_jax.errors import UserError
from reactface_jax.files import replacing
from reactface_jax.methods.listener.config import ListenerConfig
from reactface_jax.methods.listener.motion_space import MotionSpace

S = TypeVar("S")
STATE_FILE = "training_state.npz"
_FREE = {"data.dir", "data.cache", "data.workers"}
"""Fields that may change on the way: where the data lie and how they are read."""
_CLOSE = 1e-3
"""Made conversations are rounded otherwise on another processor; other ones differ by more."""


class Fixed(NamedTuple):
    """What stays during a training."""

    config: ListenerConfig
    space: MotionSpace
    data: dict[str, Shaped[np.ndarray, "..."]]
    """From `known_by`."""


def known_by(data: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """By what data are known again: each array's mean over its clips' frames, [..., T, C] to [..., C]; others whole."""
    return {
        name: array.mean(axis=-2, dtype=np.float32) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in data.items()
    }


def save_state(path: Path, state: Any, fixed: Fixed) -> None:
    """Writes both whole or not at all. Raises `UserError` if the file can't be written."""
    arrays: dict[str, Any] = {f"arr_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    arrays |= {f"space/{name}": value for name, value in fixed.space._asdict().items()}
    arrays |= {f"data/{name}": value for name, value in fixed.data.items()}
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, config=np.array(json.dumps(dataclasses.asdict(fixed.config))), **arrays)


def check_config(path: Path, config: ListenerConfig) -> None:
    """Raises `UserError` if a training's file is damaged, or of another configuration; looks at nothing else in it."""
    with _opened(path) as file:
        saved = json.loads(str(file["config"])) if "config" in file else None
    if saved is not None:
        _require_same(path, saved, config)


def restore_state(path: Path, like: S, fixed: Fixed) -> tuple[S, MotionSpace | None]:
    """Reads what `save_state` wrote, for a training that goes on.

    Args:
        path: the file.
        like: a state of the training that is to go on.
        fixed: of this training.

    Returns:
        The state, and the motion space of its parameters; None from a file of an older version, which holds neither
        space nor configuration.

    Raises:
        UserError: the file is damaged, or is of another network, another configuration or other data.
    """
    with _opened(path) as file:
        found = dict(file)
        leaves = [jnp.asarray(found[f"arr_{i}"]) for i in range(sum(name.startswith("arr_") for name in found))]
        saved = json.loads(str(found["config"])) if "config" in found else None
        space = None if saved is None else MotionSpace(*(found[f"space/{name}"] for name in MotionSpace._fields))
        data = {name.removeprefix("data/"): array for name, array in found.items() if name.startswith("data/")}
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in jax.tree.leaves(like)]:
        raise UserError(
            f"{path} is of a training of another network; give its own configuration, another folder or --overwrite"
        )
    if saved is not None:
        _require_same(path, saved, fixed.config)
        _check_data(path, data, fixed.data)
    return jax.tree.unflatten(jax.tree.structure(like), leaves), space


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """An error inside becomes a `UserError`."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            yield file
    except Exception as error:
        raise UserError(f"{path} is damaged; give --overwrite to start again, or another --workdir") from error


def _require_same(path: Path, saved: dict[str, Any], config: ListenerConfig) -> None:
    # Scripts are of made conversations only, neighbours of shard sets.
    free = _FREE | {"data.scripts" if config.data.dir else "data.neighbours"}
    there, here = (flatten_dict(values, sep=".") for values in (saved, dataclasses.asdict(config)))
    differing = [
        f"{name}: {there.get(name)!r} there, {value!r} here"
        for name, value in here.items()
        if name not in free and there.get(name) != value
    ]
    if differing:
        raise UserError(
            f"{path} is of another configuration ({'; '.join(differing)}); keep its values, or give --overwrite or "
            "another --workdir"
        )


def _check_data(path: Path, saved: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> None:
    differing = [name for name, here in data.items() if name not in saved or not _alike(saved[name], here)]
    if differing:
        raise UserError(
            f"{path} is of other data: {' and '.join(differing)} differ; give its own --data.dir, or --overwrite or "
            "another --workdir"
        )


def _alike(there: np.ndarray, here: np.ndarray) -> bool:
    return there.shape == here.shape and np.allclose(there, here, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)
