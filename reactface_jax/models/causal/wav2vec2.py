"""wav2vec 2.0, block-causal: sound as it arrives. The parameters are those of `wav2vec2.py`, pretrained ones too.

Every frame of video brings 640 samples and gives two speech frames. What differs from the whole-clip encoder:

- the sound and the first convolution's output are normalised by mean and variance so far, updated once a video frame;
- convolutions read the samples before their frame (zeros at first) where the other encoder reads those after it:
  speech frame s ends with sample 320 (s + 1), 5 ms later than there, and no frame is missing at the end;
- the positional convolution is aligned as there, but taps beyond the end of a frame's block see zeros;
- a frame attends to its own block and those before it, `max_context` video frames back.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from reactface_jax.config import AudioConfig
from reactface_jax.models.attention import layer_norm
from reactface_jax.models.boundary import at_boundary
from reactface_jax.models.causal.attention import Mask, attend, fading, join_heads, split_heads, with_ring
from reactface_jax.models.causal.ring import KeysValues, Place
from reactface_jax.models.causal.running_statistics import Statistics, by_frame
from reactface_jax.models.layer_loop import layer_parameters, loop_over_layers
from reactface_jax.models.recomputation import Remat
from reactface_jax.models.wav2vec2 import (
    CONV_KERNELS,
    CONV_STRIDES,
    NORM_EPSILON,
    FeatureProjection,
    PositionalConvolution,
    feature_convolution,
    gelu,
    sample_spans,
    skippable,
)
from reactface_jax.ops.linear import dot_of_few_rows
from reactface_jax.types import SAMPLES_PER_FRAME, SPEECH_RATIO

SCALE_EPSILON = 1e-7  # of the variance of sound, as in `audio.normalise`


class AudioState(NamedTuple):
    """What the encoder remembers of the sound so far."""

    loudness: Statistics
    samples: tuple[Float[Array, "B k c"], ...]
    """The last inputs of each convolution that overlaps with itself."""
    channels: Statistics
    """Of the first convolution's output."""
    features: Float[Array, "B k E"]
    """The positional convolution's last inputs."""


class CausalFeatureExtractor(nn.Module):
    """Sound [B 640 T] to [B 2T C]: seven strided convolutions that look only back."""

    conv_dim: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, audio: Float[Array, "B L"], state: AudioState | None, place: Place | None
    ) -> tuple[Float[Array, "B S C"], Statistics, tuple[Array, ...], Statistics]:
        """Returns the frames, and the parts of the state to come."""
        count = None if place is None else place.frame
        batch = audio.shape[0]

        frames = audio.astype(jnp.float32).reshape(batch, -1, SAMPLES_PER_FRAME, 1)  # B T 640 1
        mean, variance, loudness = by_frame(frames, state and state.loudness, count)
        x = (frames - mean) * jax.lax.rsqrt(variance + SCALE_EPSILON)
        x = x.reshape(batch, -1, 1).astype(self.dtype)

        carried: list[Array] = []
        for index, (kernel, stride) in enumerate(zip(CONV_KERNELS, CONV_STRIDES, strict=True)):
            overlap = kernel - stride
            if overlap and (state is None or place is None):
                x = jnp.pad(x, [(0, 0), (overlap, 0), (0, 0)])
            elif overlap and state is not None and place is not None:
                before = _unless_fresh(state.samples[len(carried)], place)
                x = jnp.concatenate([before.astype(self.dtype), x], axis=1)
            if overlap:
                carried.append(x[:, x.shape[1] - overlap :])
            x = feature_convolution(index, self.conv_dim, self.dtype)(x)
            if index == 0:
                x, channels = RunningTimeNorm(self.dtype, name="norm")(x, state and state.channels, count)
            x = gelu(x)
        return x, loudness, tuple(carried), channels


class RunningTimeNorm(nn.Module):
    """`TimeNorm` over the conversation so far."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B S C"], before: Statistics | None, count: Int[Array, " B"] | None
    ) -> tuple[Float[Array, "B S C"], Statistics]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        rate = SAMPLES_PER_FRAME // CONV_STRIDES[0]
        frames = x.astype(jnp.float32).reshape(x.shape[0], -1, rate, x.shape[-1])  # B T 128 C
        mean, variance, after = by_frame(frames, before, count)
        gain = jax.lax.rsqrt(variance + NORM_EPSILON) * scale[None, None, None]
        y = (frames - mean) * gain + bias[None, None, None]
        return y.reshape(x.shape).astype(self.dtype), after


def _dense(features: int, dtype: DTypeLike, name: str) -> nn.Dense:
    return nn.Dense(features, dtype=dtype, dot_general=dot_of_few_rows, name=name)


class CausalSelfAttention(nn.Module):
    """`SelfAttention` with a ring."""

    num_heads: int
    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B S D"], mask: Mask, ring: KeysValues | None, place: Place | None, deterministic: bool
    ) -> tuple[Float[Array, "B S D"], KeysValues | None]:
        width = x.shape[-1]

        def heads(name: str) -> Float[Array, "B h S d"]:
            return split_heads(_dense(width, self.dtype, name)(x), self.num_heads)

        query = heads("query") * (width // self.num_heads) ** -0.5
        new = KeysValues(heads("key"), heads("value"))
        attended, after = attend(query, new, mask, ring, place, nn.Dropout(self.dropout), deterministic)
        return _dense(width, self.dtype, "out")(join_heads(attended)), after


class CausalEncoderLayer(nn.Module):
    """`EncoderLayer` with a ring."""

    config: AudioConfig
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B S D"], mask: Mask, ring: KeysValues | None, place: Place | None, deterministic: bool
    ) -> tuple[Float[Array, "B S D"], KeysValues | None]:
        c = self.config

        def drop(rate: float, y: Array) -> Array:
            return nn.Dropout(rate)(y, deterministic=deterministic)

        attention = CausalSelfAttention(c.num_heads, c.attention_dropout, self.dtype, name="self_attention")
        attended, after = attention(x, mask, ring, place, deterministic)
        x = layer_norm(self.dtype, "norm1")(x + drop(c.hidden_dropout, attended))
        y = gelu(_dense(c.intermediate_size, self.dtype, "linear1")(x))
        y = _dense(x.shape[-1], self.dtype, "linear2")(drop(c.activation_dropout, y))
        return layer_norm(self.dtype, "norm2")(x + drop(c.hidden_dropout, y)), after


class CausalWav2Vec2Encoder(nn.Module):
    """The whole encoder. Training (`deterministic=False`) draws all its randomness from the stream "dropout"."""

    config: AudioConfig
    block: int
    max_context: int
    dtype: DTypeLike = jnp.float32
    remat: Remat = "none"

    @nn.compact
    def __call__(
        self,
        audio: Float[Array, "B L"],
        visible_frames: Int[Array, " B"] | None = None,
        state: AudioState | None = None,
        rings: tuple[KeysValues, ...] | None = None,
        place: Place | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B S D"], AudioState, tuple[KeysValues, ...] | None]:
        """Encodes a chunk of sound.

        Args:
          audio: 16 kHz mono at any level, 640 samples for each of whole blocks of video frames.
          visible_frames: video frames of the chunk that are not padding (None: all).
          state: after the chunk before; None: the chunk is a conversation's first.
          rings: past keys and values of each layer; None: the chunk is a whole clip.
          place: where the chunk stands in the conversation, if there are rings.
          deterministic: False drops, skips and masks as the configuration says.

        Returns:
          Two frames a video frame, the state after them, and the rings with their keys and values.
        """
        config = self.config
        extractor = CausalFeatureExtractor(config.conv_dim, self.dtype, name="feature_extractor")
        x, loudness, samples, channels = extractor(audio, state, place)
        if config.freeze_feature_extractor:
            x = jax.lax.stop_gradient(x)
        projection = FeatureProjection(
            config.hidden_size, config.feature_dropout, self.dtype, name="feature_projection"
        )
        x = projection(x, deterministic)

        batch, num_frames, _ = x.shape
        lengths = None if visible_frames is None else SPEECH_RATIO * visible_frames
        masked_spec_embed = self.param(
            "masked_spec_embed", nn.initializers.uniform(1.0), (config.hidden_size,), jnp.float32
        )
        if not deterministic and config.mask_time_prob > 0:
            key = self.make_rng("dropout")
            spans = sample_spans(key, (batch, num_frames), config.mask_time_prob, config.mask_time_length, lengths)
            x = jnp.where(spans[..., None], masked_spec_embed[None, None].astype(self.dtype), x)
        valid = None if lengths is None else jnp.arange(num_frames)[None, :] < lengths[:, None]
        if valid is not None:
            x = jnp.where(valid[..., None], x, 0)

        known = config.num_conv_pos_embeddings // 2
        if state is None or place is None:
            x = jnp.pad(x, [(0, 0), (known, 0), (0, 0)])
        else:
            x = jnp.concatenate([_unless_fresh(state.features, place).astype(self.dtype), x], axis=1)
        after = AudioState(loudness, samples, channels, x[:, x.shape[1] - known :])
        x = x[:, known:] + self._positions(x, known)
        x = layer_norm(self.dtype, "norm")(x)
        x = nn.Dropout(config.hidden_dropout)(x, deterministic=deterministic)

        mask = self._mask(num_frames, place, visible_frames)
        if rings is None:
            return self._layers(x, mask, deterministic).astype(jnp.float32), after, None
        # A conversation's window is too short for a loop: stacking all weights would take as long as using them.
        remembered: list[KeysValues] = []
        for index, ring in enumerate(rings):
            layer = CausalEncoderLayer(config, self.dtype, name=f"layer_{index}")
            x, written = layer(x, mask, ring, place, deterministic)
            x = at_boundary(x)
            assert written is not None
            remembered.append(written)
        return x.astype(jnp.float32), after, tuple(remembered)

    def _layers(self, x: Float[Array, "B S D"], mask: Mask, deterministic: bool) -> Float[Array, "B S D"]:
        """All layers over a whole clip."""
        config = self.config
        if params := layer_parameters(self, config.num_layers):
            layer = CausalEncoderLayer(config, self.dtype, parent=None)

            def apply(params: PyTree, x: Array, key: PRNGKeyArray | None) -> Array:
                def run(rngs: dict[str, PRNGKeyArray]) -> Array:
                    y, _ = layer.apply({"params": params}, x, mask, None, None, deterministic, rngs=rngs)
                    return jnp.asarray(y)

                return skippable(run, x, key, config.layer_dropout)

            key = None if deterministic else self.make_rng("dropout")
            return loop_over_layers(apply, params, x, key, self.remat)
        for index in range(config.num_layers):
            y, _ = CausalEncoderLayer(config, self.dtype, name=f"layer_{index}")(x, mask, None, None, deterministic)
            if not deterministic and config.layer_dropout > 0:
                keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - config.layer_dropout)
                y = jnp.where(keep, y, x)  # the whole batch skips the layer
            x = at_boundary(y)
        return x

    def _positions(self, x: Float[Array, "B kS D"], known: int) -> Float[Array, "B S D"]:
        """The positional convolution, block by block: taps beyond a block's end see zeros."""
        config = self.config
        length = SPEECH_RATIO * self.block
        batch, total, width = x.shape
        blocks = (total - known) // length
        frames = length * jnp.arange(blocks)[:, None] + jnp.arange(known + length)[None, :]
        x = x[:, frames].reshape(batch * blocks, known + length, width)
        convolution = PositionalConvolution(
            config.num_conv_pos_embeddings, config.num_conv_pos_groups, self.dtype, name="positional_convolution"
        )
        return convolution(x, known).reshape(batch, blocks * length, width)

    def _mask(self, num_frames: int, place: Place | None, visible_frames: Int[Array, " B"] | None) -> Mask:
        """Earlier blocks and the frame's own, `max_context` video frames back from the frame."""
        unit = SPEECH_RATIO * self.block

        def bias(j: Int[Array, " M"]) -> Float[Array, "1 F M"]:
            i, j = jnp.arange(num_frames)[:, None], j[None, :]
            recent = i // SPEECH_RATIO - j // SPEECH_RATIO < self.max_context
            return fading((j // unit <= i // unit) & recent, jnp.zeros_like(i - j), 1)

        return with_ring(bias, num_frames // SPEECH_RATIO, place, SPEECH_RATIO, visible_frames)


def _unless_fresh(x: Float[Array, "B ..."], place: Place) -> Float[Array, "B ..."]:
    """Zeros where a conversation starts with this chunk."""
    fresh = (place.frame == 0).reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(fresh, 0, x)
