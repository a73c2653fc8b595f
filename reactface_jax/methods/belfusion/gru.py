"""A gated recurrent unit with PyTorch's parameters: two biases, gates in the order reset, update, new."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.ops.linear import dense


class GRUCell(nn.Module):
    """h = (1 - z) n + z h. What the input adds to the gates can be computed for all steps at once."""

    width: int

    def setup(self) -> None:
        self.input = dense(3 * self.width, jnp.float32)
        self.hidden = dense(3 * self.width, jnp.float32)

    def gates(self, x: Float[Array, "*B D"]) -> Float[Array, "*B G"]:
        """The input's share, G = 3 widths."""
        share: Array = self.input(x)
        return share

    def step(self, gates: Float[Array, "B G"], hidden: Float[Array, "B H"]) -> Float[Array, "B H"]:
        reset, update, new = jnp.split(gates, 3, axis=-1)
        hidden_reset, hidden_update, hidden_new = jnp.split(self.hidden(hidden), 3, axis=-1)
        candidate = jnp.tanh(new + jax.nn.sigmoid(reset + hidden_reset) * hidden_new)
        keep = jax.nn.sigmoid(update + hidden_update)
        return (1 - keep) * candidate + keep * hidden
