"""Where channels are among the 58 coefficients, by their names."""

import numpy as np
from jaxtyping import Float

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES

SIDES: Float[np.ndarray, "58"] = np.array(
    [1.0 if n.endswith("Left") else -1.0 if n.endswith("Right") else 0.0 for n in COEFFICIENT_NAMES]
)
"""1 for a face's left channels, -1 for its right ones."""


def channels(name: str) -> list[int]:
    """Where a channel is among the 58; both sides if the name gives none."""
    found = [i for i, known in enumerate(COEFFICIENT_NAMES) if known in (name, f"{name}Left", f"{name}Right")]
    if not found:
        raise ValueError(f"no coefficient is called {name}")
    return found


def alike_on_both_sides(values: Float[np.ndarray, "58"]) -> Float[np.ndarray, "58"]:
    """The left channels' values on the right, too."""
    left = {name.removesuffix("Left"): value for name, value in zip(COEFFICIENT_NAMES, values, strict=True)}
    return np.array([left.get(n.removesuffix("Right"), v) for n, v in zip(COEFFICIENT_NAMES, values, strict=True)])
