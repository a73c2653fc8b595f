"""LRD: latent tokens become a listener's motion features, one a frame of the window."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.attention import DecoderLayer
from reactface_jax.models.positions import alignment_bias, sinusoidal

_NUM_LAYERS = 2


class ReactionDecoder(nn.Module):
    """Time queries attend to the latent tokens of the window, or each frame's to its own token only."""

    feature_dim: int
    num_heads: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32
    alignment: Literal["reference", "point_to_point"] = "reference"

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "B K w D"], position: Int[Array, "*B w"], *, deterministic: bool = True
    ) -> Float[Array, "B K w D"]:
        """Decodes `tokens` at the frame numbers `position`, which are the same for all clips or each clip's own."""
        queries = sinusoidal(position, self.feature_dim).astype(self.dtype)
        queries = jnp.broadcast_to(queries[..., None, :, :], tokens.shape)
        x = nn.Dropout(self.dropout)(queries, deterministic=deterministic)
        width, own_only = tokens.shape[-2], None
        if self.alignment == "point_to_point":
            own_only = alignment_bias(
                self.num_heads, width, width, period=1, ratio=1, offset=0, alignment=self.alignment
            )
        for index in range(_NUM_LAYERS):
            layer = DecoderLayer(self.num_heads, self.dropout, self.dtype, name=f"layer_{index}")
            x = layer(x, tokens.astype(self.dtype), None, own_only, deterministic=deterministic)
        return x


def make_reaction_decoder(config: ModelConfig) -> ReactionDecoder:
    """LRD of a configuration."""
    return ReactionDecoder(
        config.feature_dim, config.num_heads, config.dropout, jnp.dtype(config.dtype), config.latent_alignment
    )


def interpolate_latents(
    previous: Float[Array, "B K D"], current: Float[Array, "B K D"], num_frames: int
) -> Float[Array, "B K w D"]:
    """`F.interpolate(mode="linear", align_corners=False)` of the pair to `num_frames` tokens."""
    share = jnp.clip((jnp.arange(num_frames, dtype=jnp.float32) + 0.5) * 2 / num_frames - 0.5, 0.0, 1.0)[
        None, None, :, None
    ]
    return previous[:, :, None] * (1 - share) + current[:, :, None] * share
