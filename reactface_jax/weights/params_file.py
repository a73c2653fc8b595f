"""Parameters in a folder, without optimiser or training state: params.safetensors, config.json, SHA256SUMS.

Converted checkpoints have this form. Names in the file are the tree's paths, "speaker_encoder/speaker_map/kernel".
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name
from reactface_jax.text_reading import json_from_text, read_text
from reactface_jax.weights.checksums import DamagedError, verify, write_checksums

PARAMS_NAME = "params.safetensors"
CONFIG_NAME = "config.json"


def require_new(directory: str | Path) -> None:
    """Raises `UserError` if `save_params` would refuse the folder; call it before long work."""
    path = Path(directory)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} already exists; remove it or give another folder")


def save_params(
    directory: str | Path, params: Mapping[str, Any], config: Any, more: Mapping[str, bytes] | None = None
) -> None:
    """Writes a new folder, aside first and then renamed.

    Args:
      directory: must not exist, or be empty.
      params: nested dictionaries of arrays.
      config: what the parameters belong to: a dictionary for JSON, whose values may be dataclasses, such as
        `{"model": config.model}`.
      more: other files to lie beside them, by name.

    Raises:
      UserError: the folder has something in it, or can't be written.
    """
    require_new(directory)
    path = Path(directory)
    aside = aside_name(path)
    flat = {name: np.asarray(leaf, order="C") for name, leaf in flatten_dict(params, sep="/").items()}
    try:
        aside.mkdir(parents=True)
        (aside / PARAMS_NAME).write_bytes(save(flat))  # not save_file, whose files nobody else may read
        (aside / CONFIG_NAME).write_text(json.dumps(config, indent=2, default=dataclasses.asdict) + "\n")
        for name, content in (more or {}).items():
            (aside / name).write_bytes(content)
        write_checksums(aside)
        aside.rename(path)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_params(directory: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what `save_params` wrote: the parameters as JAX arrays, and the configuration as dictionaries.

    Raises:
      UserError: the folder or one of its files is missing or damaged.
    """
    path = Path(directory)
    for name in (PARAMS_NAME, CONFIG_NAME):
        if not (path / name).is_file():
            raise UserError(f"{path} has no {name}; give a folder that `reactface convert` wrote")
    verify(path, required=False)  # folders of an older version, or made by others, have no list
    try:
        flat = load_file(path / PARAMS_NAME)
    except SafetensorError as error:
        raise DamagedError(f"{path / PARAMS_NAME} is damaged ({error}); convert again") from error
    about, advice = str(path / CONFIG_NAME), "convert again"
    config = json_from_text(read_text(about, advice=advice), name=about, advice=advice)
    if not isinstance(config, dict):
        raise UserError(f"{about} is no description of parameters; {advice}")
    return unflatten_dict({name: jnp.asarray(leaf) for name, leaf in flat.items()}, sep="/"), config
