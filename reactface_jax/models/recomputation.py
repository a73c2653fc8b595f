"""What the forward pass keeps for the backward pass, by a policy: memory for arithmetic.

- `none`: all that XLA needs.
- `dots`: inside layers the results of matrix products with weights; norms, activations and attention come again.
- `layers`: between layers alone; everything inside them is computed again, one more forward pass.

F-Enc has its own way, `model.video_chunk`.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import flax.linen as nn
import jax

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
        """Its keyword stays Python's, since layers branch on it."""

        def __call__(self, *arrays: Any, deterministic: bool = True) -> Any:
            call = nn.remat(
                lambda module, *arrays: layer.__call__(module, *arrays, deterministic=deterministic),
                policy=policy(remat),
            )
            return call(self, *arrays)

    return Recomputed
