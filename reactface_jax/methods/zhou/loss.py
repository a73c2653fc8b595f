"""Distances of expression, rotation and translation, and of how they change; norms of a frame, not squared."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reactface_jax.types import NUM_EXPRESSION

PARTS = {
    "expression": (slice(0, NUM_EXPRESSION), 0.001),
    "rotation": (slice(NUM_EXPRESSION, NUM_EXPRESSION + 3), 1.0),
    "translation": (slice(NUM_EXPRESSION + 3, NUM_EXPRESSION + 6), 1.0),
}
"""Channels, and the weight of the change's distance."""
_RELEASED_OFFSET = 1e-6
"""Which PyTorch adds to differences before it takes their norm."""


def distances(
    predicted: Float[Array, "B T C"],
    target: Float[Array, "B T C"],
    has_target: Bool[Array, "B T"],
    *,
    released: bool = False,
) -> dict[str, Float[Array, ""]]:
    """Of each part the mean distance of frames, and of changes ("_change").

    Args:
      predicted: at frame t the network's frame t + 1.
      target: the same of the real listener; anything where there is none.
      has_target: which frames count: the clip's last one and padding have no target.
      released: frames without a target count as zeros that are hit, which makes the means smaller.
    """
    mask = has_target[..., None]
    predicted, target = jnp.where(mask, predicted, 0), jnp.where(mask, target, 0)
    both = has_target[:, 1:] & has_target[:, :-1]
    found = {}
    for name, (channels, _) in PARTS.items():
        difference = predicted[..., channels] - target[..., channels]
        changes = jnp.diff(difference, axis=1)
        found[name] = _mean_norm(difference, has_target, released)
        found[f"{name}_change"] = _mean_norm(changes, both, released)
    return found


def total(found: dict[str, Float[Array, ""]]) -> Float[Array, ""]:
    """The weighted sum."""
    return sum(
        (found[name] + weight * found[f"{name}_change"] for name, (_, weight) in PARTS.items()), start=jnp.zeros(())
    )


def _mean_norm(x: Float[Array, "B T C"], counts: Bool[Array, "B T"], released: bool) -> Float[Array, ""]:
    if released:
        return jnp.linalg.norm(x + _RELEASED_OFFSET, axis=-1).mean()
    squares = jnp.square(x).sum(-1)
    # The square root has no gradient at 0, which frames without a target have.
    norms = jnp.where(counts & (squares > 0), jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return norms.sum() / jnp.maximum(counts.sum(), 1)
