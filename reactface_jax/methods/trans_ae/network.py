"""The network: time queries attend to themselves and to the aligned motion of the speaker."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.config import ModelConfig
from reactface_jax.models.attention import DecoderLayer
from reactface_jax.models.positions import alignment_bias, sinusoidal, temporal_bias
from reactface_jax.models.reactface import trim
from reactface_jax.models.speaker_encoder import make_speaker_encoder
from reactface_jax.ops.linear import dense
from reactface_jax.types import NUM_COEFFICIENTS, AnyArray


class TransAeNetwork(nn.Module):
    """A speaker's clip to one listener, and to the speaker's own coefficients again."""

    config: ModelConfig
    num_layers: int = 2

    def setup(self) -> None:
        c = self.config
        self.speaker_encoder = make_speaker_encoder(c)
        self.layers = [
            DecoderLayer(c.num_heads, c.dropout, jnp.dtype(c.dtype), name=f"layer_{index}")
            for index in range(self.num_layers)
        ]
        self.listener_map = dense(NUM_COEFFICIENTS, jnp.float32, "listener_map")

    def __call__(
        self,
        video: Float[AnyArray, "B T H W 3"],
        audio: Float[AnyArray, "B L"],
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B T C"], Float[Array, "B T C"]]:
        """Listener and reconstructed speaker, relative to the mean face; frames are in [-1, 1]."""
        c = self.config
        video, audio = trim(video, audio)
        features = self.speaker_encoder(video, audio, None, deterministic=deterministic)
        num_frames = features.motion.shape[1]
        queries = sinusoidal(jnp.arange(num_frames), c.feature_dim).astype(features.motion.dtype)
        x = jnp.broadcast_to(queries[None], features.motion.shape)
        bias = temporal_bias(c.num_heads, num_frames, c.bias_unit)
        aligned = alignment_bias(c.num_heads, num_frames, num_frames, period=c.bias_unit, ratio=1, offset=0)
        for layer in self.layers:
            x = layer(x, features.motion, bias, aligned, deterministic=deterministic)
        speaker = self.speaker_encoder.reconstruct(features.vector, deterministic=deterministic)
        return self.listener_map(x.astype(jnp.float32)), speaker
