"""Checkpoints that others wrote: no code in them is run, and a wrong file is refused in one sentence."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from reactface_jax.errors import UserError
from reactface_jax.text_reading import json_from_text, read_text

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
_CONFIG_NAME = "config.json"
# Entries that hold a state dict; of the two in the original PIRender's checkpoint the moving average is for use.
_ENTRIES = ("state_dict", "net_G_ema", "net_G")


def read_state_dict(path: str | Path) -> dict[str, object]:
    """Names to tensors of a file of `torch.save` or safetensors.

    The state dict is the file's content, or its entry "state_dict" as in the authors' checkpoints, or "net_G_ema" as in
    the original PIRender's.

    Raises:
      UserError: the file is missing, damaged, no checkpoint, or holds code.
    """
    path = Path(path)
    content = _read_content(path)
    state_dict = next((content[name] for name in _ENTRIES if name in content), content)
    if not isinstance(state_dict, dict) or not any(hasattr(value, "shape") for value in state_dict.values()):
        raise UserError(f"{path} has no state dict; its entries are {', '.join(map(str, list(content)[:5])) or 'none'}")
    if not all(isinstance(name, str) for name in state_dict):
        raise UserError(f"{path} has no state dict: its keys are not names")
    return state_dict


def read_statistics(path: str | Path) -> dict[str, object]:
    """Tensors of a checkpoint's entry "statistics", as names that begin with "statistics."; none if it has no such.

    Errors are those of `read_state_dict`.
    """
    found = _read_content(Path(path)).get("statistics")
    if not isinstance(found, dict):
        return {}
    return {f"statistics.{name}": value for name, value in found.items() if hasattr(value, "shape")}


def _read_content(path: Path) -> dict[Any, Any]:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the checkpoint file in it")
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    _refuse_text(path)
    content: object = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, not a dictionary of tensors")
    return content


def read_hugging_face(name: str) -> tuple[dict[str, object], dict[str, Any]]:
    """State dict and config.json of a folder of transformers, or of a hub id if there is no such folder.

    Raises:
      UserError: there is neither, or a file in it is missing or wrong.
    """
    folder = Path(name) if Path(name).is_dir() else _download(name)
    config_path = folder / _CONFIG_NAME
    weights = next((folder / file for file in _WEIGHTS_NAMES if (folder / file).is_file()), None)
    if weights is None:
        raise UserError(f"{name} has neither {' nor '.join(_WEIGHTS_NAMES)}; give a folder of transformers")
    advice = "give a folder of transformers"
    if not config_path.is_file():
        raise UserError(f"{name} has no {_CONFIG_NAME}; {advice}")
    config = json_from_text(read_text(config_path, advice=advice), name=str(config_path), advice=advice)
    if not isinstance(config, dict):
        raise UserError(f"{config_path} is no configuration of a model")
    return read_state_dict(weights), config


def _download(name: str) -> Path:
    if Path(name).exists() or not _HUB_ID.fullmatch(name):
        raise UserError(f"{name} is no folder; give one with {_CONFIG_NAME} and {_WEIGHTS_NAMES[0]}, or a hub id")
    try:
        from transformers.utils import cached_file
    except ImportError as error:
        raise _missing("transformers") from error
    try:
        config = cached_file(name, _CONFIG_NAME)
        if cached_file(name, _WEIGHTS_NAMES[0], _raise_exceptions_for_missing_entries=False) is None:
            cached_file(name, _WEIGHTS_NAMES[1])
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name} is no folder here, and the hub does not give it ({_first_line(error)}); "
            "download the model and give its folder"
        ) from error
    assert config is not None  # cached_file raises instead
    return Path(config).parent


def _refuse_text(path: Path) -> None:
    """A page, a pointer or an empty file under a checkpoint's name."""
    try:
        with path.open("rb") as file:
            start = file.read(512).lstrip().lower()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    if not start:
        raise UserError(f"{path} is empty; download it again")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{path} is a web page, not a checkpoint: the download failed; get the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull`")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is damaged or incomplete ({_first_line(error)}); download it again") from error
    except (AttributeError, KeyError, TypeError) as error:  # such as 8-bit floats, which NumPy does not have
        raise UserError(f"{path} holds numbers of a type that can't be read; save them as float32") from error


def _read_pickle(path: Path) -> object:
    try:
        import torch
    except ImportError as error:
        raise _missing("torch") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about pickles that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError) as error:
        raise UserError(f"{path} is damaged or incomplete ({_first_line(error)}); download it again") from error
    except Exception as error:  # bytes that are no checkpoint can raise anything
        if isinstance(error, pickle.UnpicklingError) and re.search("Unsupported (global|class)", str(error)):
            raise UserError(
                f"{path} holds more than tensors, and reading it would run code, so it is not read; "
                'save only its state dict: torch.save(checkpoint["state_dict"], ...)'
            ) from error
        raise UserError(f"{path} is damaged or no checkpoint of PyTorch; nothing in it was run") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _missing(package: str) -> UserError:
    return UserError(f"conversion needs {package}; run `pip install 'reactface-jax[convert]'`")
