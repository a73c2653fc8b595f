"""Whether arrays that were read are those of a configuration."""

from typing import Any

import numpy as np

from reactface_jax.errors import UserError
from reactface_jax.tree_names import named_leaves


def check_shapes(expected: Any, found: Any, fields: str) -> None:
    """Raises `UserError` unless names and shapes are the same; `fields` says which of the configuration decide them."""
    here, there = ({name: np.shape(leaf) for name, leaf in named_leaves(tree).items()} for tree in (expected, found))
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            raise UserError(
                f"the parameters are not of this configuration: {name} has shape {there.get(name)}, the model needs "
                f"{here.get(name)}; leave {fields} as they were in training"
            )
