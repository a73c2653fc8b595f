"""How many reactions are drawn and from which key: caught here, before JAX answers in its own words."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from reactface_jax.errors import UserError
from reactface_jax.types import AnyArray


def check_draws(num_reactions: int, key: Key[AnyArray, ""] | None = None, *, batch_size: int = 1) -> None:
    """Raises `UserError` unless the counts are whole numbers from 1 on, and the key, if there is one, is a single key.

    Keys of `jax.random.key` count, and those of `jax.random.PRNGKey`.
    """
    for name, count in (("num_reactions", num_reactions), ("batch_size", batch_size)):
        if not isinstance(count, int | np.integer) or count < 1:
            raise UserError(f"{name} is {count}; give a whole number from 1 on")
    if key is not None:
        check_key(key)


def check_key(key: Key[AnyArray, ""]) -> None:
    """Raises `UserError` unless it is a single key, of either kind."""
    if not _is_key(key):
        shown = f"of shape {key.shape}" if hasattr(key, "shape") else repr(key)
        raise UserError(f"key is {shown}; give one key, such as jax.random.key(0)")


def _is_key(key: object) -> bool:
    if not isinstance(key, jax.Array | np.ndarray):
        return False
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key.shape == ()
    return key.dtype == np.uint32 and key.ndim == 1
