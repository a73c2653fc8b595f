"""Names of a tree's leaves, such as `listener/coefficient_map/kernel`."""

from typing import Any

import jax


def path_name(path: Any) -> str:
    """A leaf's name, from its path in `jax.tree_util`'s form."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Any) -> dict[str, Any]:
    """Name to leaf, in the tree's order."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
