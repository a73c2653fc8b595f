"""State dicts of the goldens, filled by names and shapes as the goldens' README says."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from goldens.fill import fill


def golden_state(spec: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """The values of a `*_spec.json`, or of the names that begin with `prefix`, without it."""
    values = {}
    for name, shape in json.loads(spec.read_text()).items():
        if name.startswith(prefix):
            value = fill(name, tuple(shape), 0)
            values[name.removeprefix(prefix)] = np.abs(value) + 0.5 if name.endswith("running_var") else value
    return values


def assert_close(found: Any, expected: Any) -> None:
    """To 1e-5 of the largest value, the goldens' own precision being a tenth of that."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def load_golden(path: Path) -> dict[str, Any]:
    """Arrays of an .npz on the device; its texts are left out."""
    with np.load(path) as file:
        return {name: jnp.asarray(file[name]) for name in file.files if file[name].dtype.kind in "fi"}
