"""Conversion by a table of entries, strict both ways: every key is consumed or known to be unused, every parameter
is filled, every shape fits. Anything else is a `UserError` that names the keys.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

from reactface_jax.convert.tensor_layouts import Entry
from reactface_jax.errors import UserError

Params = dict[str, Any]
"""Nested dictionaries of float32 arrays, as `model.init` gives under "params"."""

StateDict = Mapping[str, object]
"""PyTorch names to numpy arrays or torch tensors."""

_SHOWN = 4  # names in an error


@dataclass(frozen=True)
class Report:
    """What became of each key and parameter."""

    converted: Sequence[str]
    """Flax paths filled from the state dict, in the table's order."""
    ignored: Mapping[str, Sequence[str]]
    """Reason to the keys that are left out for it."""
    zeroed: Sequence[str]
    """Flax paths of optional parameters that the state dict lacks."""


def normalise_names(state_dict: StateDict) -> dict[str, object]:
    """Names without DataParallel's `module.`, and with the older spelling of weight norm, weight_g and weight_v.

    Raises:
      UserError: the dictionary is empty, or has the same parameter twice.
    """
    if not state_dict:
        raise UserError("the state dict is empty")

    def usual(name: str) -> str:
        name = name.removeprefix("module.")
        name = name.replace("parametrizations.weight.original0", "weight_g")
        return name.replace("parametrizations.weight.original1", "weight_v")

    return _once(((usual(name), value) for name, value in state_dict.items()), "in two spellings")


def without_prefix(names: StateDict, prefix: str) -> dict[str, object]:
    """Names without what may stand in front of them. Raises `UserError` if one is there with it and without."""
    return _once(((name.removeprefix(prefix), value) for name, value in names.items()), f"with {prefix} and without")


def joined(*state_dicts: StateDict) -> dict[str, object]:
    """Several state dicts as one. Raises `UserError` if they have a name in common."""
    return _once((item for state_dict in state_dicts for item in state_dict.items()), "in two files")


def split_statistics(
    names: StateDict, used: Iterable[str], known_unused: Mapping[str, str]
) -> tuple[dict[str, object], dict[str, object], dict[str, list[str]]]:
    """Parts `statistics.*` from a state dict with normalised names.

    Args:
      names: of both.
      used: whole names of the statistics that are wanted, if they are there.
      known_unused: patterns of the whole names of others, to the reason.

    Returns:
      The parameters, the statistics that are wanted, and the others' names by the reason.

    Raises:
      UserError: a statistic is neither.
    """
    statistics = {name: value for name, value in names.items() if name.startswith("statistics.")}
    wanted = {name: statistics[name] for name in used if name in statistics}
    ignored, unknown = _sort_out(sorted(set(statistics) - set(wanted)), known_unused)
    if unknown:
        raise UserError(f"the statistics have {len(unknown)} arrays that are not known ({shorten(unknown)})")
    return {name: value for name, value in names.items() if name not in statistics}, wanted, ignored


def to_params(
    state_dict: StateDict, table: Sequence[Entry], template: Params, known_unused: Mapping[str, str]
) -> tuple[Params, Report]:
    """Converts a state dict with normalised names.

    Args:
      state_dict: arrays or tensors; any float type, converted to float32.
      table: where each PyTorch tensor goes.
      template: the model's own parameters, of which only shapes are read (`jax.eval_shape` of its init).
      known_unused: patterns of whole names that no parameter comes from, to the reason.

    Raises:
      UserError: keys are missing or unknown, a shape does not fit, or a tensor has a NaN or infinity.
    """
    shapes = {path: leaf.shape for path, leaf in flatten_dict(template, sep="/").items()}
    known = {entry.source for entry in table}
    ignored, unknown = _sort_out(sorted(set(state_dict) - known), known_unused)
    missing = [entry.source for entry in table if entry.source not in state_dict and not entry.optional]
    _require_all(missing, unknown)
    _require_same_paths(table, shapes)

    flat: dict[str, Array] = {}
    zeroed: list[str] = []
    for entry in table:
        if entry.source not in state_dict:
            flat |= {path: jnp.zeros(shapes[path]) for path in entry.targets}
            zeroed += entry.targets
            continue
        array = as_numpy(entry.source, state_dict[entry.source])
        for path, part in zip(entry.targets, _apply(entry, array), strict=True):
            if part.shape != shapes[path]:
                raise UserError(
                    f"{entry.source} has shape {list(array.shape)}, which does not fit {path} of shape "
                    f"{list(shapes[path])}"
                )
            flat[path] = jnp.asarray(np.ascontiguousarray(part))
    converted = [path for entry in table for path in entry.targets if path not in zeroed]
    return unflatten_dict(flat, sep="/"), Report(converted, ignored, zeroed)


def to_state_dict(params: Params, table: Sequence[Entry]) -> dict[str, np.ndarray]:
    """The inverse of `to_params`: float32 arrays by PyTorch name."""
    flat = {path: np.asarray(leaf, np.float32) for path, leaf in flatten_dict(params, sep="/").items()}
    _require_same_paths(table, flat)
    state_dict = {}
    for entry in table:
        array = entry.layout.to_torch([flat[path] for path in entry.targets])
        state_dict[entry.source] = np.ascontiguousarray(array)
    return state_dict


def as_numpy(name: str, value: object) -> np.ndarray:
    """A float32 array of a numpy array or a torch tensor. Raises `UserError` for anything else and for NaN."""
    if hasattr(value, "detach"):
        value = value.detach().float().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise UserError(f"{name} is {type(value).__name__}, expected a tensor")
    array = value.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{name} has NaN or infinite values: the training that wrote it had diverged")
    return array


def shape_of(state_dict: StateDict, name: str, num_axes: int) -> tuple[int, ...]:
    """Shape of a tensor that must be there. Raises `UserError` if it is not, or has another number of axes."""
    if name not in state_dict:
        raise UserError(
            f"this is another model's state dict: it lacks {name}; its keys are {shorten(list(state_dict))}"
        )
    shape = tuple(getattr(state_dict[name], "shape", ()))
    if len(shape) != num_axes:
        raise UserError(f"this is another model's state dict: {name} has shape {list(shape)}, not {num_axes} axes")
    return shape


def shorten(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _once(items: Iterable[tuple[str, object]], how: str) -> dict[str, object]:
    names: dict[str, object] = {}
    for name, value in items:
        if name in names:
            raise UserError(f"the parameter {name} is there twice, {how}; keep one of them")
        names[name] = value
    return names


def _apply(entry: Entry, array: np.ndarray) -> Sequence[np.ndarray]:
    try:
        return entry.layout.to_jax(array)
    except ValueError as error:
        raise UserError(f"{entry.source} has shape {list(array.shape)}, which is none of this model's") from error


def _sort_out(names: Sequence[str], known_unused: Mapping[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    ignored: dict[str, list[str]] = {}
    unknown = []
    for name in names:
        reason = next((why for pattern, why in known_unused.items() if re.fullmatch(pattern, name)), None)
        if reason is None:
            unknown.append(name)
        else:
            ignored.setdefault(reason, []).append(name)
    return ignored, unknown


def _require_all(missing: Sequence[str], unknown: Sequence[str]) -> None:
    faults = []
    if missing:
        faults.append(f"lacks {len(missing)} of the model's keys ({shorten(missing)})")
    if unknown:
        faults.append(f"has {len(unknown)} keys that are no part of the model ({shorten(unknown)})")
    if faults:
        raise UserError("the state dict " + " and ".join(faults))


def _require_same_paths(table: Sequence[Entry], tree: Mapping[str, object]) -> None:
    """The table and the model's parameters name the same paths; ablated configurations have fewer parameters."""
    paths = {path for entry in table for path in entry.targets}
    unfilled, homeless = sorted(tree.keys() - paths), sorted(paths - tree.keys())
    if unfilled:
        raise UserError(f"the table of names fills no {shorten(unfilled)}")
    if homeless:
        raise UserError(
            f"the configuration's model has no place for {len(homeless)} parameters ({shorten(homeless)}); "
            "convert with every part of the model switched on"
        )
