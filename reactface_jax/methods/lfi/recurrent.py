"""A gated recurrent unit with PyTorch's two biases, whose input product is one matrix product over all frames."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.ops.linear import uniform_within


class Gru(nn.Module):
    """h = (1 - z) n + z h, n = tanh(W x + b + r (U h + c)); gates in the order r, z, n, G = 3 widths."""

    inputs: int
    width: int

    def setup(self) -> None:
        start, gates = uniform_within(self.width**-0.5), 3 * self.width
        self.input_kernel = self.param("input_kernel", start, (self.inputs, gates))
        self.input_bias = self.param("input_bias", start, (gates,))
        self.hidden_kernel = self.param("hidden_kernel", start, (self.width, gates))
        self.hidden_bias = self.param("hidden_bias", start, (gates,))

    def product(self, x: Float[Array, "*B D"]) -> Float[Array, "*B G"]:
        """The input's part of the gates, without its bias."""
        return x @ self.input_kernel

    def advance(self, hidden: Float[Array, "*B H"], product: Float[Array, "*B G"]) -> Float[Array, "*B H"]:
        """The next state."""
        gates = product + jnp.broadcast_to(self.input_bias, product.shape)
        recurrent = hidden @ self.hidden_kernel
        recurrent += jnp.broadcast_to(self.hidden_bias, recurrent.shape)
        reset, update, new = jnp.split(gates, 3, axis=-1)
        from_reset, from_update, from_new = jnp.split(recurrent, 3, axis=-1)
        candidate = jnp.tanh(new + jax.nn.sigmoid(reset + from_reset) * from_new)
        keep = jax.nn.sigmoid(update + from_update)
        return (1 - keep) * candidate + keep * hidden

    def over_frames(
        self, x: Float[Array, "B T D"], hidden: Float[Array, "B H"]
    ) -> tuple[Float[Array, "B T H"], Float[Array, "B H"]]:
        """The state after each frame, and after the last."""

        def step(hidden: Array, product: Array) -> tuple[Array, Array]:
            hidden = self.advance(hidden, product)
            return hidden, hidden

        hidden, states = jax.lax.scan(step, hidden, jnp.moveaxis(self.product(x), 1, 0))
        return jnp.moveaxis(states, 0, 1), hidden

    def over_windows(
        self, x: Float[Array, "B T D"], window: int, keep: Float[Array, "B N W"] | None = None
    ) -> Float[Array, "B N E"]:
        """For each window of frames, N = T - W + 1 of them: the last output and the last state, which are the same.

        Args:
          x: all frames.
          window: W; the state is zero at the start of each.
          keep: what multiplies each frame of each window, for dropout of frames.
        """
        products = self.product(x)
        count = x.shape[1] - window + 1

        def step(hidden: Array, offset: Array) -> tuple[Array, None]:
            product = jax.lax.dynamic_slice_in_dim(products, offset, count, axis=1)
            if keep is not None:
                product *= jax.lax.dynamic_index_in_dim(keep, offset, axis=2)
            return self.advance(hidden, product), None

        start = jnp.zeros((x.shape[0], count, self.width), x.dtype)
        hidden, _ = jax.lax.scan(step, start, jnp.arange(window))
        return jnp.concatenate([hidden, hidden], axis=-1)
