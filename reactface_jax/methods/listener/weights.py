"""The listener's weights in one safetensors file: parameters, motion space, styles, faces at rest, and its sizes."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.files import replacing
from reactface_jax.methods.listener.config import ListenerSizes
from reactface_jax.methods.listener.motion_space import MotionSpace

_KIND = "listener"
NAME = "listener.safetensors"
"""Of the file in the folder of a training."""
_FORM = "3"
"""Of the parameters: files of another form hold another network."""
_PAST_NOISE = 0.3
"""Of files that do not say it, whatever the default of trainings is by now."""


class Weights(NamedTuple):
    """All that is learnt."""

    sizes: ListenerSizes
    params: PyTree
    space: MotionSpace
    styles: Float[np.ndarray, "S Z"]
    rests: Float[np.ndarray, "S C"]
    """Faces at rest of some listeners, from which one is drawn where none is given."""
    names: tuple[str, ...] = COEFFICIENT_NAMES
    """Of the coefficients that it sees and answers."""
    past_noise: float = _PAST_NOISE
    """Largest standard deviation of the noise on the own past in training (`train.past_noise`)."""


def save_weights(path: str | Path, weights: Weights) -> None:
    """Writes them whole or not at all. Raises `UserError` if the file can't be written."""
    arrays: dict[str, Any] = {"/".join(("params", *k)): v for k, v in flatten_dict(weights.params).items()}
    arrays |= {f"space/{name}": value for name, value in weights.space._asdict().items()}
    arrays |= {"styles": weights.styles, "rests": weights.rests}
    # Sorted and contiguous, so that the same training gives the same bytes.
    # Parameters in half precision: half the size, and figures that are the same to the third digit.
    arrays = {
        name: np.ascontiguousarray(arrays[name], dtype=np.float16 if name.startswith("params/") else np.float32)
        for name in sorted(arrays)
    }
    metadata = {"kind": _KIND, "form": _FORM, "sizes": json.dumps(dataclasses.asdict(weights.sizes))}
    if weights.names != COEFFICIENT_NAMES:
        metadata["names"] = json.dumps(weights.names)
    if weights.past_noise != _PAST_NOISE:
        metadata["past_noise"] = json.dumps(weights.past_noise)
    with replacing(path) as file:
        file.write(save(arrays, metadata))


def find_weights(path: Path) -> Path | None:
    """A listener's weights: the file itself, or that of a training's folder; None if it is neither."""
    if path.is_dir():
        return path / NAME if (path / NAME).is_file() else None
    return path if path.suffix == Path(NAME).suffix else None


def load_weights(path: str | Path) -> Weights:
    """Reads what `save_weights` wrote.

    Raises:
        UserError: the file is missing, of something else or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a listener's weights, as its training writes them")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.offset_keys()}
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file: {error}; give a listener's weights") from error
    if metadata.get("kind") != _KIND:
        raise UserError(f"{path} holds no listener's weights; give the file that its training wrote")
    if metadata.get("form") != _FORM:
        raise UserError(f"{path} was written by another version of the listener; train it again")
    try:
        return _read(arrays, metadata)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} lacks a part of a listener's weights, or is damaged: {error}; train it again"
        ) from error


def _read(arrays: dict[str, Any], metadata: dict[str, str]) -> Weights:
    params = {
        tuple(name.split("/")[1:]): value.astype(np.float32)
        for name, value in arrays.items()
        if name.startswith("params/")
    }
    return Weights(
        sizes=ListenerSizes(**json.loads(metadata["sizes"])),
        params=unflatten_dict(params),
        space=MotionSpace(*(arrays[f"space/{name}"] for name in MotionSpace._fields)),
        styles=arrays["styles"],
        rests=arrays["rests"],
        names=tuple(json.loads(metadata["names"])) if "names" in metadata else COEFFICIENT_NAMES,
        past_noise=float(metadata.get("past_noise", _PAST_NOISE)),
    )
