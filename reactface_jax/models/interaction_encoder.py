"""CIE: the conversation so far becomes a distribution over appropriate reactions."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from reactface_jax.models.attention import DecoderLayer, EncoderLayer
from reactface_jax.models.positions import MASKED, Alignment, alignment_bias, hide_beyond, periodic, temporal_bias
from reactface_jax.ops.linear import dense
from reactface_jax.types import SPEECH_RATIO

ENCODER_HEADS = 4
ENCODER_FEED_FORWARD = 1024
NUM_TOKENS = 2  # mean and log-variance


class InteractionEncoder(nn.Module):
    """Past reactions, read against the speaker's features of the same frames, to N(mean, std²)."""

    feature_dim: int
    period: int
    """Of the positions (frames)."""
    bias_period: int
    """Frames in a unit of the biases."""
    num_heads: int
    num_layers: int = 2
    alignment: Alignment = "reference"
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        past: Float[Array, "B K P C"],
        speech: Float[Array, "B S D"] | None,
        motion: Float[Array, "B P D"],
        num_past: int | Int[Array, ""],
        visible_frames: Int[Array, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B K D"], Float[Array, "B K D"]]:
        """Encodes the interaction.

        Args:
          past: listener coefficients in a buffer of fixed length P.
          speech: the speaker's speech features, S = 2 P (None: a model without audio).
          motion: the speaker's motion features of the same frames.
          num_past: how many frames of the buffer are in use; it may be traced.
          visible_frames: frames of each clip's `speech` and `motion` that are not padding (None: all in use).
          deterministic: no dropout.

        Returns:
          Mean and standard deviation of the latent reaction.
        """
        buffer = past.shape[2]

        def drop(y: Array) -> Array:
            return nn.Dropout(self.dropout)(y, deterministic=deterministic)

        def attend(name: str, x: Array, memory: Array, ratio: int) -> Array:
            mask = alignment_bias(
                self.num_heads,
                buffer,
                ratio * buffer,
                period=self.bias_period,
                ratio=ratio,
                offset=(ratio - 1) * num_past,
                alignment=self.alignment,
            )
            used = jnp.asarray(num_past)[None] if visible_frames is None else jnp.minimum(num_past, visible_frames)
            hidden = hide_beyond(ratio * used, ratio * buffer)
            mask = mask[None, None] + hidden[:, None, None, None, :]  # B 1 h P M
            layer = DecoderLayer(self.num_heads, self.dropout, self.dtype, name=name)
            return layer(x, memory[:, None], bias, mask, deterministic=deterministic)

        bias = temporal_bias(self.num_heads, buffer, self.bias_period)
        x = dense(self.feature_dim, self.dtype, "past_motion_map")(past)
        # The reference adds x to an encoding that already contains it.
        x = x + drop(x + periodic(buffer, self.feature_dim, self.period).astype(self.dtype)[None, None])
        if speech is not None:
            x = attend("past_speech_decoder", x, speech, SPEECH_RATIO)
        x = attend("past_motion_decoder", x, motion, 1)
        x = dense(self.feature_dim, self.dtype, "linear")(x)

        tokens = jnp.stack(
            [
                self.param(name, nn.initializers.normal(1.0), (self.feature_dim,), jnp.float32).astype(self.dtype)
                for name in ("mean_token", "log_variance_token")
            ]
        )
        tokens = jnp.broadcast_to(tokens, (*x.shape[:2], NUM_TOKENS, self.feature_dim))
        x = jnp.concatenate([tokens, x], axis=2)  # B K 2+P D
        in_use = jnp.where(jnp.arange(x.shape[2]) < NUM_TOKENS + num_past, 0.0, MASKED)
        for index in range(self.num_layers):
            last = index == self.num_layers - 1  # only the two tokens are read from the last layer
            x = EncoderLayer(ENCODER_HEADS, ENCODER_FEED_FORWARD, self.dropout, self.dtype, name=f"layer_{index}")(
                x, in_use, num_queries=NUM_TOKENS if last else None, deterministic=deterministic
            )
        x = x.astype(jnp.float32)
        return x[:, :, 0], jnp.exp(0.5 * x[:, :, 1])
