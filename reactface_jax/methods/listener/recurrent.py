"""A gated recurrent unit whose input product is one matrix product over all steps (Cho et al., 2014)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Recurrent(nn.Module):
    """h = (1 - z) n + z h."""

    width: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "*B N D"], hidden: Float[Array, "*B H"]
    ) -> tuple[Float[Array, "*B N H"], Float[Array, "*B H"]]:
        """States after each step, and after the last."""
        inputs = nn.Dense(3 * self.width, name="input")(x)
        kernel = self.param("hidden", nn.initializers.orthogonal(), (self.width, 3 * self.width), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), jnp.float32)

        def step(hidden: Array, gates: Array) -> tuple[Array, Array]:
            from_hidden = hidden @ kernel
            reset, update, new = jnp.split(gates, 3, axis=-1)
            hidden_reset, hidden_update, hidden_new = jnp.split(from_hidden, 3, axis=-1)
            candidate = jnp.tanh(
                new + jax.nn.sigmoid(reset + hidden_reset) * (hidden_new + jnp.broadcast_to(bias, hidden_new.shape))
            )
            keep = jax.nn.sigmoid(update + hidden_update)
            hidden = (1 - keep) * candidate + keep * hidden
            return hidden, hidden

        hidden, states = jax.lax.scan(step, hidden, jnp.moveaxis(inputs, -2, 0))
        return jnp.moveaxis(states, 0, -2), hidden
