"""Trans-VAE's network: offline, and online a window at a time.

Letters: B clips, K reactions, T frames, N windows of w frames, D feature width, C the 58 coefficients, E the
challenge's 25 attributes.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.methods.trans_vae.lstm import LSTM
from reactface_jax.methods.trans_vae.speaker_encoder import SpeakerEncoder
from reactface_jax.models.attention import DecoderLayer, EncoderLayer
from reactface_jax.models.positions import MASKED, sinusoidal
from reactface_jax.models.window_loop import scan_windows
from reactface_jax.ops.linear import dense
from reactface_jax.types import NUM_COEFFICIENTS, AnyArray

NUM_ATTRIBUTES = 25
NUM_HEADS = 4
_DROPOUT = 0.1


class Reaction(NamedTuple):
    """K reactions, and the distributions that their latents come from."""

    coefficients: Float[Array, "B K T C"]
    attributes: Float[Array, "B K T E"] | None
    mean: Float[Array, "B K N D"]
    std: Float[Array, "B K N D"]


class TransVAE(nn.Module):
    """The whole model; `attributes`: it also predicts the challenge's."""

    feature_dim: int
    attributes: bool = False
    online: bool = False
    chunk: int = 0
    """Frames of the video that are convolved at a time; 0: all."""

    def setup(self) -> None:
        dim = self.feature_dim
        self.speaker = SpeakerEncoder(dim, self.chunk)
        self.mean_token = self.param("mean_token", nn.initializers.normal(1.0), (dim,))
        self.log_variance_token = self.param("log_variance_token", nn.initializers.normal(1.0), (dim,))
        self.linear = dense(dim, jnp.float32)
        self.encoder = EncoderLayer(NUM_HEADS, 2 * dim)
        self.decoder_1 = DecoderLayer(NUM_HEADS)
        self.decoder_2 = DecoderLayer(NUM_HEADS)
        self.drop_queries = nn.Dropout(_DROPOUT)
        self.coefficient_map = dense(NUM_COEFFICIENTS, jnp.float32)
        if self.attributes:
            self.attribute_maps = [dense(dim, jnp.float32), dense(NUM_ATTRIBUTES, jnp.float32)]
        if self.online:
            self.fusion = dense(dim, jnp.float32)
            self.past_map = dense(dim, jnp.float32)
            self.reaction_map = dense(dim, jnp.float32)
            self.decoder_past = DecoderLayer(NUM_HEADS)
            self.lstm = LSTM(dim)

    def encode_speaker(
        self, video: Float[Array, "B T H W 3"], mfcc: Float[Array, "B T 78"], length: Int[AnyArray, ""] | None = None
    ) -> Float[Array, "B T D"]:
        features: Array = self.speaker(video, mfcc, length)
        return features

    def encode(
        self, features: Float[Array, "B K T D"], length: Int[AnyArray, ""] | None = None, *, deterministic: bool
    ) -> tuple[Float[Array, "B K D"], Float[Array, "B K D"]]:
        """Mean and standard deviation of the latent, from frames before `length` (None: all)."""
        x = self.linear(features)
        tokens = jnp.stack([self.mean_token, self.log_variance_token])
        tokens = jnp.broadcast_to(tokens, (*x.shape[:2], *tokens.shape))
        x = jnp.concatenate([tokens, x], axis=2)
        mask = None
        if length is not None:
            mask = jnp.where(jnp.arange(x.shape[2]) < len(tokens[0, 0]) + length, 0.0, MASKED)
        mean, log_variance = jnp.moveaxis(self.encoder(x, mask, num_queries=2, deterministic=deterministic), 2, 0)
        return mean, jnp.exp(0.5 * log_variance)

    def decode(self, latent: Float[Array, "B K D"], num_frames: int, *, deterministic: bool) -> Float[Array, "B K T D"]:
        """Hidden features of the reaction: queries of the frames' numbers from 0, whose memory is the latent."""
        queries = sinusoidal(jnp.arange(num_frames), self.feature_dim)
        queries = jnp.broadcast_to(queries, (*latent.shape[:2], *queries.shape))
        x = self.drop_queries(queries, deterministic=deterministic)
        causal = _causal(num_frames)
        x = self.decoder_1(x, latent[:, :, None], causal, deterministic=deterministic)
        hidden: Array = self.decoder_2(x, x, causal, deterministic=deterministic)
        return hidden

    def map(
        self, hidden: Float[Array, "B K T D"], decoded: Float[Array, "B K T D"]
    ) -> tuple[Float[Array, "B K T C"], Float[Array, "B K T E"] | None]:
        """Coefficients; and attributes, if there are any, of them and of what `decode` gave."""
        coefficients = self.coefficient_map(hidden)
        if not self.attributes:
            return coefficients, None
        first, second = self.attribute_maps
        return coefficients, second(first(jnp.concatenate([coefficients, decoded], axis=-1)))

    def offline(
        self,
        video: Float[Array, "B T H W 3"],
        mfcc: Float[Array, "B T 78"],
        noise: Float[Array, "B K D"],
        *,
        deterministic: bool = True,
    ) -> Reaction:
        """Reactions to whole clips; `noise` makes them different."""
        mean, std = self.encode(self.speaker(video, mfcc)[:, None], deterministic=deterministic)
        hidden = self.decode(mean + std * noise, video.shape[1], deterministic=deterministic)
        mean, std = (jnp.broadcast_to(x, noise.shape)[:, :, None] for x in (mean, std))
        return Reaction(*self.map(hidden, hidden), mean, std)

    def in_windows(
        self,
        video: Float[Array, "B T H W 3"],
        mfcc: Float[Array, "B T 78"],
        noise: Float[Array, "B K N D"],
        window: int,
        *,
        deterministic: bool = True,
    ) -> Reaction:
        """Reactions a window at a time, each from the speaker so far and the reactions before it.

        Args:
          video: frames in [-1, 1]; T is N windows.
          mfcc: of each frame's sound.
          noise: of each window.
          window: w.
          deterministic: no dropout.

        Every window encodes the speaker from the beginning, as the original does: the norms of the video encoder are
        over the frames so far, so that nothing computed before serves again.
        """
        batch, frames = video.shape[:2]
        reactions = noise.shape[1]
        num_past = NUM_COEFFICIENTS + (NUM_ATTRIBUTES if self.attributes else 0)

        def step(model: TransVAE, past: Array, given: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            start, eps = given
            length = start + window
            speaker = model.speaker(video, mfcc, length)[:, None]
            speaker = jnp.broadcast_to(speaker, (batch, reactions, *speaker.shape[2:]))
            features = model.fusion(jnp.concatenate([speaker, past], axis=-1))
            mean, std = model.encode(features, length, deterministic=deterministic)
            hidden = model.decode(mean + std * eps, window, deterministic=deterministic)
            after = jnp.where(start > 0, model._after(past, hidden, start, deterministic), hidden)
            coefficients, attributes = model.map(after, hidden)
            found = coefficients if attributes is None else jnp.concatenate([coefficients, attributes], axis=-1)
            past = jax.lax.dynamic_update_slice_in_dim(past, found, start, axis=2)
            return past, (mean, std)

        starts = jnp.arange(0, frames, window)
        past = jnp.zeros((batch, reactions, frames, num_past))
        past, draws = scan_windows(step, self, past, (starts, jnp.moveaxis(noise, 2, 0)))
        mean, std = (jnp.moveaxis(x, 0, 2) for x in draws)
        attributes = past[..., NUM_COEFFICIENTS:] if self.attributes else None
        return Reaction(past[..., :NUM_COEFFICIENTS], attributes, mean, std)

    def _after(
        self, past: Float[Array, "B K T P"], hidden: Float[Array, "B K w D"], start: Array, deterministic: bool
    ) -> Float[Array, "B K w D"]:
        """A window's features, joined to those of the frames before it (windows but the first)."""
        frames, window = past.shape[2], hidden.shape[2]
        embedded = self.past_map(past[..., :NUM_COEFFICIENTS])
        x = jax.lax.dynamic_update_slice_in_dim(embedded, self.reaction_map(hidden), start, axis=2)
        unseen = jnp.where(jnp.arange(frames) < start + window, 0.0, MASKED)
        x = self.decoder_past(x, x, _causal(frames), unseen[None, None], deterministic=deterministic)
        x = jax.lax.dynamic_slice_in_dim(x, start, window, axis=2)
        last = jax.lax.dynamic_slice_in_dim(embedded, jnp.maximum(start - 1, 0), 1, axis=2)[:, :, 0]
        after: Array = self.lstm(x, last, last)
        return after

    def __call__(self, video: Array, mfcc: Array, noise: Array, window: int) -> Reaction:
        """Touches all parameters, for `init`."""
        return self.in_windows(video, mfcc, noise, window) if self.online else self.offline(video, mfcc, noise[:, :, 0])


def _causal(num_frames: int) -> Float[Array, "1 T T"]:
    """All biases are 0: the original's period is the clip."""
    frame = jnp.arange(num_frames)
    return jnp.where(frame[None, :] <= frame[:, None], 0.0, MASKED)[None]
