"""Configurations are read: from a file in configs/ with words of the command line, and from JSON.

Unknown names get the nearest known one, and values that do not fit are named.
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from reactface_jax import arguments
from reactface_jax.config.fields import Config
from reactface_jax.config_files import read_config_file
from reactface_jax.errors import UserError

C = TypeVar("C")
FIELD = "field of the configuration"
_ONLY_TRAINED = ("ListenerConfig", "RendererConfig")
"""Configurations of another kind, by their classes, which stand on higher floors."""
_SEE = "`reactface train --help` and reactface_jax/config/fields.py"


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration file and applies overrides.

    Args:
      path: a Python file that defines `config = Config(...)`, or the name of one that comes with the package, such as
        `reference`.
      overrides: command-line words, such as `["--model.feature-dim", "64"]`.

    Raises:
      UserError: the file is missing or defines no `Config`, a field is unknown (the nearest name is suggested), or a
        value does not fit.
    """
    config = read_config_file(path)
    if (kind := type(config).__name__) in _ONLY_TRAINED:
        raise UserError(
            f"configuration {path} is a {kind}, which only `reactface train` takes; give one that defines "
            "`config = Config(...)`, such as reference"
        )
    if not isinstance(config, Config):
        raise UserError(f"configuration {path} must define `config = Config(...)` of reactface_jax.config")
    return apply_overrides(config, overrides)


def apply_overrides(config: C, overrides: Sequence[str]) -> C:
    """Replaces fields by command-line words. Raises `UserError` for an unknown field or a value that does not fit."""
    if isinstance(overrides, str):
        raise UserError(f"overrides is the text {overrides!r}; give a list of words: {overrides.split()}")
    return arguments.parse(type(config), overrides, default=config, what=FIELD, see=_SEE)


def check_names(overrides: Sequence[str], kind: type[Any]) -> None:
    """Raises `UserError` if a command-line word names no field of such a configuration."""
    arguments.check_flags(overrides, arguments.parameters_of(kind), FIELD, _SEE)


def config_from_json(values: Mapping[str, Any]) -> Config:
    """The configuration that `dataclasses.asdict` made `values` of. Raises `UserError` for a field unknown here.

    A field that `values` lack has its default, but for `model.video_start`: causal models were trained with zeros
    before there was a choice.
    """
    model = values.get("model", {})
    if model.get("causal") and "video_start" not in model:
        values = {**values, "model": {**model, "video_start": "zeros"}}
    return _dataclass_from(Config, values)


def _dataclass_from(kind: type[Any], values: Mapping[str, Any], prefix: str = "") -> Any:
    # Not dacite's from_dict: of an unknown field it gives neither the section nor the nearest name.
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            nearest = difflib.get_close_matches(name, hints, n=1)
            hint = f" (the nearest here is {prefix}{nearest[0]})" if nearest else ""
            raise UserError(
                f"the configuration has the unknown field {prefix}{name}{hint}; "
                "use the version of reactface_jax that wrote it"
            )
    return kind(
        **{
            name: _dataclass_from(hints[name], value, f"{prefix}{name}.")
            if dataclasses.is_dataclass(hints[name])
            else value
            for name, value in values.items()
        }
    )


def differences(saved: Any, current: Any, prefix: str = "") -> list[str]:
    """Lines such as `model.momentum: 0.9 there, 0.999 here` for the fields in which two configurations differ."""
    lines: list[str] = []
    for part in dataclasses.fields(saved):
        name, there, here = f"{prefix}{part.name}", getattr(saved, part.name), getattr(current, part.name)
        if dataclasses.is_dataclass(there):
            lines += differences(there, here, f"{name}.")
        elif there != here:
            lines.append(f"{name}: {there!r} there, {here!r} here")
    return lines
