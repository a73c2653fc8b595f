"""The VQ-VAE: 32 frames of a listener to 4 codes and back.

Letters: B clips, D width, C channels; a block is 32 frames or 4 steps.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.methods.ng.blocks import Block, Convolution, PlainConvolution, pool
from reactface_jax.ops.linear import kernel_initializer

FRAMES = 32
STEPS = 4
"""Codes of a block: one for 8 frames."""
FRAMES_A_CODE = FRAMES // STEPS
COMMITMENT = 0.25


class Quantised(NamedTuple):
    """A block's codes, and what they stand for."""

    codes: Int[Array, "B 4"]
    vectors: Float[Array, "B 4 D"]
    """Of the codebook, with the encoder's gradient (straight-through)."""
    loss: Float[Array, ""]
    """Codebook and commitment."""


class VQVAE(nn.Module):
    """Encoder, quantiser and decoder.

    With `released` a code is not a time step but a quarter of the channels at all four steps: the original cuts the
    transposed features into rows. Its checkpoints need that; codes have no order in time then.
    """

    channels: int
    width: int
    num_heads: int
    num_layers: int
    feed_forward: int
    num_codes: int
    released: bool = False

    def setup(self) -> None:
        kernel_init = kernel_initializer()

        def blocks() -> list[Block]:
            return [Block(self.num_heads, self.feed_forward, kernel_init) for _ in range(self.num_layers)]

        self.squash = [Convolution(self.width, stride=2), Convolution(self.width), Convolution(self.width)]
        self.encoder_linear = nn.Dense(self.width, kernel_init=kernel_init)
        self.encoder_positions = self.param("encoder_positions", nn.initializers.zeros, (STEPS, self.width))
        self.encoder = blocks()
        self.codebook = self.param("codebook", _codebook, (self.num_codes, self.width))
        self.expand = [Convolution(self.width, transposed=True), Convolution(self.width), Convolution(self.width)]
        self.decoder_linear = nn.Dense(self.width, kernel_init=kernel_init)
        self.decoder_positions = self.param("decoder_positions", nn.initializers.zeros, (FRAMES, self.width))
        self.decoder = blocks()
        self.smooth = PlainConvolution(self.channels)

    def encode(self, x: Float[Array, "B 32 C"], *, train: bool = False) -> Float[Array, "B 4 D"]:
        """Features of a block, before they are quantised."""
        first, *others = self.squash
        x = first(x, train=train)
        for convolution in others:
            x = pool(convolution(x, train=train), 2)
        x = self.encoder_linear(x) + self.encoder_positions[None]
        for block in self.encoder:
            x = block(x)
        return x

    def quantise(self, encoded: Float[Array, "B 4 D"]) -> Quantised:
        """The nearest codes by squared distance."""
        rows = self._to_rows(encoded)
        distances = (
            jnp.square(rows).sum(-1, keepdims=True)
            - 2 * rows @ self.codebook.T
            + jnp.square(self.codebook).sum(-1)[None, None]
        )
        codes = distances.argmin(-1).astype(jnp.int32)
        vectors = self.codebook[codes]
        codebook_loss = jnp.square(vectors - jax.lax.stop_gradient(rows)).mean()
        commitment_loss = jnp.square(jax.lax.stop_gradient(vectors) - rows).mean()
        straight_through = rows + jax.lax.stop_gradient(vectors - rows)
        return Quantised(codes, self._from_rows(straight_through), codebook_loss + COMMITMENT * commitment_loss)

    def decode(self, vectors: Float[Array, "B 4 D"], *, train: bool = False) -> Float[Array, "B 32 C"]:
        first, *others = self.expand
        x = first(vectors, train=train)
        for convolution in others:
            x = jnp.repeat(convolution(x, train=train), 2, axis=1)
        x = self.decoder_linear(x) + self.decoder_positions[None]
        for block in self.decoder:
            x = block(x)
        return self.smooth(x)

    def to_codes(self, x: Float[Array, "B 32 C"]) -> Int[Array, "B 4"]:
        """Codes of a block, in evaluation mode."""
        return self.quantise(self.encode(x)).codes

    def from_codes(self, codes: Int[Array, "B 4"]) -> Float[Array, "B 32 C"]:
        """The block that codes stand for, in evaluation mode."""
        return self.decode(self._from_rows(self.codebook[codes]))

    def __call__(self, x: Float[Array, "B 32 C"], *, train: bool = False) -> tuple[Float[Array, "B 32 C"], Quantised]:
        """The reconstruction, and the codes that it comes from."""
        quantised = self.quantise(self.encode(x, train=train))
        return self.decode(quantised.vectors, train=train), quantised

    def _to_rows(self, x: Array) -> Array:
        return x.swapaxes(1, 2).reshape(x.shape) if self.released else x

    def _from_rows(self, rows: Array) -> Array:
        batch, steps, width = rows.shape
        return rows.reshape(batch, width, steps).swapaxes(1, 2) if self.released else rows


def _codebook(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
    return jax.random.uniform(key, shape, dtype, -1 / shape[0], 1 / shape[0])
