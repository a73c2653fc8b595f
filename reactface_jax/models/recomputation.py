"""What the forward pass keeps for the backward pass, by a policy: memory is traded for arithmetic.

- `none`: everything that the gradient needs is kept.
- `dots`: inside layers, results of matrix products with weights are kept; norms, activations and attention are
  computed again.
- `layers`: only what passes between layers is kept; their inside is computed again, at the cost of a forward pass.

F-Enc saves memory by chunks of frames instead, `model.video_chunk`.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import flax.linen as nn
import jax
from jaxtyping import Array

Remat = Literal["none", "dots", "layers"]
L = TypeVar("L", bound=nn.Module)


def policy(remat: Remat) -> Callable[..., bool] | None:
    """For `jax.checkpoint`; None keeps nothing."""
    return jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None


def recomputed(layer: type[L], remat: Remat) -> type[L]:
    """A class of layers that are computed again in the backward pass, with the same parameters.

    Its instances take `deterministic` by keyword.
    """
    if remat == "none":
        return layer

    class Recomputed(layer):  # type: ignore[valid-type, misc]
        """`deterministic` stays a Python bool, since layers branch on it."""

        def __call__(self, *arrays: Array | None, deterministic: bool = True) -> Array:
            call = nn.remat(
                lambda module, *arrays: layer.__call__(module, *arrays, deterministic=deterministic),
                policy=policy(remat),
            )
            result: Array = call(self, *arrays)
            return result

    return Recomputed
