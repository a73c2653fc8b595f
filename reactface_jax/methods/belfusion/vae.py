"""The VAE of windows: a GRU reads a window, another writes it.

Letters: B windows, w frames of a window, A channels that are read and written (58 coefficients or the challenge's 25
attributes), C the 58 coefficients, H hidden units, Z latent.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.methods.belfusion.gru import GRUCell
from reactface_jax.ops.linear import dense
from reactface_jax.types import NUM_COEFFICIENTS


class Encoded(NamedTuple):
    """A window."""

    hidden: Float[Array, "B H"]
    """The GRU's last state, which the release diffuses instead of the mean."""
    mean: Float[Array, "B Z"]
    log_variance: Float[Array, "B Z"]


class WindowVAE(nn.Module):
    """Encoder and decoder; with `regress` also the coefficients of decoded attributes."""

    channels: int
    width: int
    mlp: tuple[int, ...]
    regress: bool = False

    def setup(self) -> None:
        self.encoder = GRUCell(self.width)
        self.mean = dense(self.width, jnp.float32)
        self.log_variance = dense(self.width, jnp.float32)
        self.start = dense(self.width, jnp.float32)
        self.decoder = GRUCell(self.width)
        self.hidden = [dense(width, jnp.float32) for width in self.mlp]
        self.out = dense(self.channels, jnp.float32)
        if self.regress:
            self.regress_hidden = dense(self.width, jnp.float32)
            self.regress_out = dense(NUM_COEFFICIENTS, jnp.float32)

    def encode(self, x: Float[Array, "B w A"]) -> Encoded:
        def step(cell: GRUCell, hidden: Array, gates: Array) -> tuple[Array, None]:
            return cell.step(gates, hidden), None

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1)
        hidden, _ = scan(self.encoder, jnp.zeros((len(x), self.width)), self.encoder.gates(x))
        return Encoded(hidden, self.mean(hidden), self.log_variance(hidden))

    def decode(self, latent: Float[Array, "B Z"], num_frames: int) -> Float[Array, "B w A"]:
        """A window; each frame is read again for the next."""
        start = self.start(latent)

        def step(vae: WindowVAE, carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
            hidden, last = carry
            gates = vae.decoder.gates(jnp.concatenate([start, last], axis=-1))
            hidden = vae.decoder.step(gates, hidden)
            x = hidden
            for layer in vae.hidden:
                x = jnp.tanh(layer(x))
            x = vae.out(x)
            return (hidden, x), x

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, length=num_frames, out_axes=1)
        zeros = jnp.zeros((len(latent), self.width)), jnp.zeros((len(latent), self.channels))
        _, frames = scan(self, zeros, None)
        return frames

    def coefficients(self, attributes: Float[Array, "B w A"]) -> Float[Array, "B w C"]:
        """The face of decoded attributes."""
        found: Array = self.regress_out(jnp.tanh(self.regress_hidden(attributes)))
        return found

    def __call__(
        self, x: Float[Array, "B w A"], noise: Float[Array, "B Z"]
    ) -> tuple[Float[Array, "B w A"], Float[Array, "B w C"], Encoded]:
        """The reconstruction from a draw, its coefficients (itself without attributes), and the window's latent."""
        encoded = self.encode(x)
        latent = encoded.mean + jnp.exp(0.5 * encoded.log_variance) * noise
        decoded = self.decode(latent, x.shape[1])
        return decoded, self.coefficients(decoded) if self.regress else decoded, encoded
