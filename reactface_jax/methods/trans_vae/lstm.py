"""A long short-term memory with PyTorch's parameters: two biases, gates in the order input, forget, cell, output."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.ops.linear import dense


class LSTM(nn.Module):
    """One layer."""

    width: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "*B T D"], hidden: Float[Array, "*B H"], cell: Float[Array, "*B H"]
    ) -> Float[Array, "*B T H"]:
        """Outputs of every step."""
        inputs = dense(4 * self.width, jnp.float32, "input")(x)
        from_hidden = dense(4 * self.width, jnp.float32, "hidden")

        def step(layer: nn.Dense, carry: tuple[Array, Array], given: Array) -> tuple[tuple[Array, Array], Array]:
            hidden, cell = carry
            enter, forget, new, leave = jnp.split(given + layer(hidden), 4, axis=-1)
            cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
            hidden = jax.nn.sigmoid(leave) * jnp.tanh(cell)
            return (hidden, cell), hidden

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        _, outputs = scan(from_hidden, (hidden, cell), jnp.moveaxis(inputs, -2, 0))
        return jnp.moveaxis(outputs, 0, -2)
