"""CIE, causal: each window of past reactions is encoded once and kept as keys and values.

The reference encodes all past reactions again in every window, and earlier ones attend to later ones. Here a past frame
attends to what there was when its window ended, so that a window costs the same after a second and after an hour. The
parameters are those of `interaction_encoder.py`.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.attention import encode
from reactface_jax.models.causal.attention import (
    NO_RINGS,
    CausalAttention,
    CausalDecoderLayer,
    Mask,
    Rings,
    speech_mask,
    temporal_mask,
    with_ring,
)
from reactface_jax.models.causal.ring import KeysValues, Place
from reactface_jax.models.interaction_encoder import ENCODER_FEED_FORWARD, ENCODER_HEADS, NUM_TOKENS
from reactface_jax.models.positions import MASKED, sinusoidal
from reactface_jax.ops.linear import dense
from reactface_jax.types import SPEECH_RATIO


class InteractionRings(NamedTuple):
    """Keys and values of `max_context` frames: of past reactions, and of the speaker's features in the same frames."""

    speech: Rings | None
    motion: Rings
    encoder: tuple[KeysValues, ...]


class CausalInteractionEncoder(nn.Module):
    """Past reactions, window after window, to N(mean, std²)."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        past: Float[Array, "B K w C"],
        speech: Float[Array, "B S D"] | None,
        motion: Float[Array, "B w D"],
        visible_frames: Int[Array, " B"] | None,
        rings: InteractionRings,
        place: Place,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B K D"], Float[Array, "B K D"], InteractionRings]:
        """Reads one more window.

        Args:
          past: the last window's reactions.
          speech: the speaker's speech features of that window (None: a model without audio).
          motion: the speaker's motion features of that window.
          visible_frames: frames of `speech` and `motion` that are not padding (None: all).
          rings: the windows before.
          place: where the window stands.
          deterministic: no dropout.

        Returns:
          Mean and standard deviation of the latent reaction, and the rings with this window in them.
        """
        c = self.config
        dtype = jnp.dtype(c.dtype)
        frames = past.shape[2]
        # With past="window" only the last window is seen.
        reach = frames if c.past == "window" else c.max_context
        if c.past == "window":
            place = place._replace(frame=jnp.zeros_like(place.frame))

        def drop(y: Array) -> Array:
            return nn.Dropout(c.dropout)(y, deterministic=deterministic)

        def of_reactions(mask: Mask) -> Mask:
            """With an axis for the reactions."""
            assert mask.ring is not None
            return mask._replace(ring=mask.ring[:, None])

        fading = of_reactions(temporal_mask(c.num_heads, frames, reach, c.bias_unit, place))

        def attend(name: str, x: Array, memory: Array, ratio: int, before: Rings) -> tuple[Array, Rings]:
            mask = speech_mask(c.num_heads, frames, reach, c.bias_unit, ratio, c.alignment, place, visible_frames)
            layer = CausalDecoderLayer(c.num_heads, c.dropout, dtype, name=name)
            return layer(x, memory[:, None], fading, of_reactions(mask), before, place, deterministic=deterministic)

        x = dense(c.feature_dim, dtype, "past_motion_map")(past)
        number = (place.frame[:, None] + jnp.arange(frames)[None, :]) % c.period
        # The reference adds x to an encoding that already contains it.
        x = x + drop(x + sinusoidal(number, c.feature_dim).astype(dtype)[:, None])
        speech_rings = None
        if speech is not None:
            x, speech_rings = attend("past_speech_decoder", x, speech, SPEECH_RATIO, rings.speech or NO_RINGS)
        x, motion_rings = attend("past_motion_decoder", x, motion, 1, rings.motion)
        x = dense(c.feature_dim, dtype, "linear")(x)

        tokens = jnp.stack(
            [
                self.param(name, nn.initializers.normal(1.0), (c.feature_dim,), jnp.float32).astype(dtype)
                for name in ("mean_token", "log_variance_token")
            ]
        )
        tokens = jnp.broadcast_to(tokens, (*x.shape[:2], NUM_TOKENS, c.feature_dim))
        x = jnp.concatenate([tokens, x], axis=2)  # B K 2+w D
        mask = of_reactions(self._token_mask(frames, reach, place))
        remembered: list[KeysValues] = []
        for index, ring in enumerate(rings.encoder):
            last = index == c.interaction_layers - 1  # only the two tokens are read from the last layer
            layer = _TokenLayer(c.dropout, dtype, name=f"layer_{index}")
            x, ring = layer(x, mask, ring, place, NUM_TOKENS if last else None, deterministic)
            remembered.append(ring)
        x = x.astype(jnp.float32)
        after = InteractionRings(speech_rings, motion_rings, tuple(remembered))
        return x[:, :, 0], jnp.exp(0.5 * x[:, :, 1]), after

    def _token_mask(self, frames: int, reach: int, place: Place) -> Mask:
        """Everything up to the window's end is visible; the two tokens see what its last frame sees."""
        query = jnp.concatenate([jnp.full((NUM_TOKENS,), frames - 1), jnp.arange(frames)])

        def bias(j: Array) -> Array:
            return jnp.where(query[:, None] - j[None, :] < reach, 0.0, MASKED)[None]

        return with_ring(bias, frames, place)._replace(chunk=jnp.zeros((1, len(query), NUM_TOKENS), jnp.float32))


class _TokenLayer(nn.Module):
    """`attention.EncoderLayer` with a ring; the two tokens' own keys and values are not kept."""

    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B K M D"],
        mask: Mask,
        ring: KeysValues,
        place: Place,
        num_queries: int | None,
        deterministic: bool,
    ) -> tuple[Float[Array, "B K F D"], KeysValues]:
        def drop(y: Array) -> Array:
            return nn.Dropout(self.dropout)(y, deterministic=deterministic)

        assert mask.chunk is not None
        assert mask.ring is not None
        mask = Mask(mask.chunk[..., :num_queries, :], mask.ring[..., :num_queries, :], mask.written)
        attention = CausalAttention(ENCODER_HEADS, self.dropout, self.dtype, name="self_attention")
        query = x[..., :num_queries, :]
        attended, after = attention(query, x, mask, ring, place, tokens=NUM_TOKENS, deterministic=deterministic)
        assert after is not None
        return encode(query, attended, ENCODER_FEED_FORWARD, drop, self.dtype), after
