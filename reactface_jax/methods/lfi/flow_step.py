"""One step of the flow: actnorm, an invertible linear map, an affine coupling that a GRU remembers time in.

Glow (Kingma and Dhariwal, 2018) in MoGlow's recurrent form (Henter et al., 2020). Letters: C channels, P own history,
Q what is known of the other person, Z condition, H hidden, N frames.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from reactface_jax.methods.lfi.recurrent import Gru
from reactface_jax.ops.linear import exact_product, kernel_initializer, uniform_within

_LEAST_SCALE = 1e-4
_LOG_GAIN = 3.0
"""Of the output layer's `logs`."""


class FlowStep(nn.Module):
    """Invertible in the frame `x`, given own history, the other person and the hidden state."""

    channels: int
    own_size: int
    other_size: int
    condition_width: int
    hidden_width: int
    released: bool = False
    """The release multiplies the log-determinants of actnorm and of the linear map by the number of channels."""

    def setup(self) -> None:
        channels, sizes = self.channels, self.own_size + self.other_size
        zeros = nn.initializers.zeros
        self.actnorm_bias = self.param("actnorm_bias", zeros, (channels,))
        self.actnorm_logs = self.param("actnorm_logs", zeros, (channels,))
        # All five are parts of one random rotation, so they need one key, which flax would not give to parameters.
        key = self.make_rng("params") if self.is_initializing() else jax.random.key(0)
        self.permutation = self.variable("fixed", "permutation", lambda: _random_rotation(key, channels).permutation)
        self.sign = self.variable("fixed", "sign", lambda: _random_rotation(key, channels).sign)
        self.lower = self.param("lower", lambda _: _random_rotation(key, channels).lower)
        self.upper = self.param("upper", lambda _: _random_rotation(key, channels).upper)
        self.log_scale = self.param("log_scale", lambda _: _random_rotation(key, channels).log_scale)
        self.condition_kernel = self.param("condition_kernel", kernel_initializer(), (sizes, self.condition_width))
        self.condition_bias = self.param("condition_bias", uniform_within(sizes**-0.5), (self.condition_width,))
        self.gru = Gru(channels // 2 + self.condition_width, self.hidden_width)
        self.final_kernel = self.param("final_kernel", zeros, (self.hidden_width, channels))
        self.final_bias = self.param("final_bias", zeros, (channels,))
        self.final_logs = self.param("final_logs", zeros, (channels,))

    def forward(
        self,
        x: Float[Array, "B N C"],
        own: Float[Array, "B N P"],
        other: Float[Array, "B N Q"],
        hidden: Float[Array, "B H"],
    ) -> tuple[Float[Array, "B N C"], Float[Array, "B N"], Float[Array, "B H"]]:
        """Known frames to noise: the output, its log-determinant, and the state after the last frame."""
        return self.from_normalised(self.actnorm(x), own, other, hidden)

    def actnorm(self, x: Float[Array, "*B C"]) -> Float[Array, "*B C"]:
        bias, logs = (jnp.broadcast_to(value, x.shape) for value in (self.actnorm_bias, self.actnorm_logs))
        return (x + bias) * jnp.exp(logs)

    def from_normalised(
        self,
        x: Float[Array, "B N C"],
        own: Float[Array, "B N P"],
        other: Float[Array, "B N Q"],
        hidden: Float[Array, "B H"],
    ) -> tuple[Float[Array, "B N C"], Float[Array, "B N"], Float[Array, "B H"]]:
        """`forward` without actnorm, whose log-determinant it counts nonetheless."""
        first, second = jnp.split(exact_product(x, self.weight()), 2, axis=-1)
        condition = self.condition(own, self.project(other))
        states, hidden = self.gru.over_frames(jnp.concatenate([first, condition], axis=-1), hidden)
        shift, scale = self.shift_and_scale(states)
        out = jnp.concatenate([first, (second + shift) * scale], axis=-1)
        times = self.channels if self.released else 1
        constant = times * (self.actnorm_logs.sum() + self.log_scale.sum())
        return out, jnp.log(scale).sum(-1) + constant, hidden

    def inverse(
        self,
        z: Float[Array, "*B C"],
        own: Float[Array, "*B P"],
        projected: Float[Array, "*B Z"],
        hidden: Float[Array, "*B H"],
        inverse_weight: Float[Array, "C C"],
    ) -> tuple[Float[Array, "*B C"], Float[Array, "*B H"]]:
        """Noise to one frame, and the next state.

        Args:
          z: what `forward` gave.
          own: history.
          projected: `project` of the other person.
          hidden: the state before.
          inverse_weight: from `inverse_weight`, computed once for all frames.
        """
        first, second = jnp.split(z, 2, axis=-1)
        condition = self.condition(own, projected)
        hidden = self.gru.advance(hidden, self.gru.product(jnp.concatenate([first, condition], axis=-1)))
        shift, scale = self.shift_and_scale(hidden)
        x = exact_product(jnp.concatenate([first, second / scale - shift], axis=-1), inverse_weight)
        bias, logs = (jnp.broadcast_to(value, x.shape) for value in (self.actnorm_bias, self.actnorm_logs))
        return x * jnp.exp(-logs) - bias, hidden

    def weight(self) -> Float[Array, "C C"]:
        """W of z = x W: permutation, unit lower triangle, upper triangle."""
        lower, upper = self._triangles()
        return exact_product(exact_product(self.permutation.value, lower), upper)

    def inverse_weight(self) -> Float[Array, "C C"]:
        lower, upper = self._triangles()
        from_lower = jax.scipy.linalg.solve_triangular(lower, self.permutation.value.T, lower=True, unit_diagonal=True)
        inverse: Array = jax.scipy.linalg.solve_triangular(upper, from_lower)
        return inverse

    def project(self, other: Float[Array, "*B Q"]) -> Float[Array, "*B Z"]:
        """The other person's part of the condition, which no reaction changes."""
        projected = other @ self.condition_kernel[self.own_size :]
        return projected + jnp.broadcast_to(self.condition_bias, projected.shape)

    def condition(self, own: Float[Array, "*B P"], projected: Float[Array, "*B Z"]) -> Float[Array, "*B Z"]:
        return jax.nn.leaky_relu(own @ self.condition_kernel[: self.own_size] + projected)

    def shift_and_scale(self, hidden: Float[Array, "*B H"]) -> tuple[Float[Array, "*B C2"], Float[Array, "*B C2"]]:
        """Interleaved in the output layer: shifts at even places, scales at odd ones."""
        out = hidden @ self.final_kernel
        out += jnp.broadcast_to(self.final_bias, out.shape)
        out *= jnp.broadcast_to(jnp.exp(_LOG_GAIN * self.final_logs), out.shape)
        return out[..., 0::2], jnp.maximum(jax.nn.sigmoid(out[..., 1::2] + 2), _LEAST_SCALE)

    def _triangles(self) -> tuple[Float[Array, "C C"], Float[Array, "C C"]]:
        lower = jnp.tril(self.lower, -1) + jnp.eye(self.channels)
        return lower, jnp.triu(self.upper, 1) + jnp.diag(self.sign.value * jnp.exp(self.log_scale))


class _Rotation(NamedTuple):
    """P L U, U's diagonal as signs and logarithms of sizes."""

    permutation: Float[Array, "C C"]
    lower: Float[Array, "C C"]
    upper: Float[Array, "C C"]
    sign: Float[Array, " C"]
    log_scale: Float[Array, " C"]


def _random_rotation(key: Key[Array, ""], size: int) -> _Rotation:
    """The Q of a normal matrix."""
    rotation, _ = jnp.linalg.qr(jax.random.normal(key, (size, size)))
    permutation, lower, upper = jax.scipy.linalg.lu(rotation)
    diagonal = jnp.diag(upper)
    sign, log_scale = jnp.sign(diagonal), jnp.log(jnp.abs(diagonal))
    return _Rotation(permutation, jnp.tril(lower, -1), jnp.triu(upper, 1), sign, log_scale)
