"""wav2vec 2.0 (Baevski et al., 2020, arXiv 2006.11477), the audio encoder A-Enc: sound at 16 kHz to features at 50 Hz.

The architecture of wav2vec2-base-960h: group norm after the first convolution only, post-norm transformer. Exact to
transformers' `Wav2Vec2Model`, except that padding is exact too: with `lengths`, a clip inside a longer buffer gives
what it would give by itself (transformers' group norm takes its statistics over the padding too).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from reactface_jax.config import AudioConfig
from reactface_jax.models.attention import layer_norm
from reactface_jax.models.boundary import at_boundary, row_by_row
from reactface_jax.models.layer_loop import layer_parameters, loop_over_layers
from reactface_jax.models.recomputation import Remat, recomputed
from reactface_jax.ops.grouped_convolution import grouped_conv
from reactface_jax.types import AnyArray

CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
NORM_EPSILON = 1e-5
MIN_MASKED_SPANS = 2  # of SpecAugment, transformers' default


def gelu(x: Array) -> Array:
    """GELU by the error function, as PyTorch's default."""
    return jax.nn.gelu(x, approximate=False)


def _frames_after(lengths: Int[Array, " B"], kernel: int, stride: int) -> Int[Array, " B"]:
    """Frames of an unpadded convolution that see no more than `lengths` frames of its input."""
    return jnp.maximum((lengths - kernel) // stride + 1, 0)


def _valid(lengths: Int[Array, " B"], num_frames: int) -> Bool[Array, "B S"]:
    return jnp.arange(num_frames)[None, :] < lengths[:, None]


class TimeNorm(nn.Module):
    """Group norm with one channel a group: each channel is normalised over the clip's time."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B S C"], lengths: Int[Array, " B"] | None = None) -> Float[Array, "B S C"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        valid = None if lengths is None else _valid(lengths, x.shape[1])[..., None]
        mean = _mean_over_time(x, valid)
        variance = _mean_over_time(jnp.square(x - mean), valid)
        gain = jax.lax.rsqrt(variance + NORM_EPSILON) * scale[None, None]
        return ((x - mean) * gain + bias[None, None]).astype(self.dtype)


def _mean_over_time(x: Float[Array, "B S C"], valid: Bool[Array, "B S 1"] | None) -> Float[Array, "B 1 C"]:
    if valid is None:
        return x.mean(axis=1, keepdims=True)
    count = jnp.maximum(valid.sum(axis=1, keepdims=True), 1)
    return jnp.where(valid, x, 0).sum(axis=1, keepdims=True) / count


class FeatureExtractor(nn.Module):
    """Seven strided convolutions without padding: 400 samples see the first frame, 320 more each further one."""

    conv_dim: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, audio: Float[AnyArray, "B L"], lengths: Int[Array, " B"] | None = None
    ) -> tuple[Float[Array, "B S C"], Int[Array, " B"] | None]:
        """Returns the frames, and how many of each clip's are valid (None for all)."""
        x = jnp.asarray(audio, self.dtype)[..., None]  # B L 1
        for index, (kernel, stride) in enumerate(zip(CONV_KERNELS, CONV_STRIDES, strict=True)):
            x = feature_convolution(index, self.conv_dim, self.dtype)(x)
            lengths = None if lengths is None else _frames_after(lengths, kernel, stride)
            if index == 0:
                x = TimeNorm(dtype=self.dtype, name="norm")(x, lengths)
            x = gelu(x)
        return x, lengths


def feature_convolution(index: int, features: int, dtype: DTypeLike) -> nn.Conv:
    """One of the feature extractor's seven."""
    return nn.Conv(
        features,
        (CONV_KERNELS[index],),
        (CONV_STRIDES[index],),
        padding="VALID",
        use_bias=False,
        kernel_init=nn.initializers.he_normal(),
        dtype=dtype,
        name=f"conv_{index}",
    )


class FeatureProjection(nn.Module):
    """From the convolutions' channels to the transformer's width."""

    hidden_size: int
    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B S C"], deterministic: bool = True) -> Float[Array, "B S D"]:
        x = layer_norm(self.dtype, "norm")(x)
        x = nn.Dense(self.hidden_size, dtype=self.dtype, name="linear")(x)
        return nn.Dropout(self.dropout)(x, deterministic=deterministic)


class PositionalConvolution(nn.Module):
    """A grouped convolution over time that encodes positions; weight norm acts on each tap by itself."""

    kernel_size: int
    groups: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B S D"], context: int = 0) -> Float[Array, "B S2 D"]:
        """Convolves `x`, whose first `context` frames are seen but give no output; zeros stand around `x`."""
        width = x.shape[-1]
        weight_v = self.param(
            "weight_v",
            nn.initializers.normal(2 / (self.kernel_size * width) ** 0.5),
            (self.kernel_size, width // self.groups, width),
            jnp.float32,
        )
        norm = jnp.sqrt(jnp.square(weight_v).sum(axis=(1, 2)))  # one a tap
        weight_g = self.param("weight_g", lambda _: norm)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        kernel = (weight_v * (weight_g / norm)[:, None, None]).astype(self.dtype)
        # kernel // 2 on both sides, without the last frame that an even kernel then has too many
        padding = (self.kernel_size // 2 - context, (self.kernel_size - 1) // 2)
        convolve = functools.partial(grouped_conv, padding=padding, groups=self.groups)
        x = row_by_row(convolve, x.astype(self.dtype), kernel)  # the compiler can't split a grouped kernel's gradient
        return gelu(x + bias[None, None].astype(self.dtype))


class SelfAttention(nn.Module):
    """Multi-head attention among a clip's frames; the softmax is computed in float32."""

    num_heads: int
    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B S D"], mask: Bool[Array, "#B 1 #S S"] | None = None, deterministic: bool = True
    ) -> Float[Array, "B S D"]:
        width = x.shape[-1]
        head_width = width // self.num_heads

        def heads(name: str) -> Float[Array, "B S H d"]:
            projected = nn.Dense(width, dtype=self.dtype, name=name)(x)
            return projected.reshape(*x.shape[:-1], self.num_heads, head_width)

        query, key, value = heads("query") * head_width**-0.5, heads("key"), heads("value")
        scores = jnp.einsum("BFHd,BSHd->BHFS", query, key, preferred_element_type=jnp.float32)
        if mask is not None:
            scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        weights = nn.Dropout(self.dropout)(weights, deterministic=deterministic)
        attended = jnp.einsum("BHFS,BSHd->BFHd", weights, value).reshape(x.shape)
        return nn.Dense(width, dtype=self.dtype, name="out")(attended)


class EncoderLayer(nn.Module):
    """Post-norm transformer layer with GELU."""

    num_heads: int
    intermediate_size: int
    hidden_dropout: float
    attention_dropout: float
    activation_dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B S D"], mask: Bool[Array, "#B 1 #S S"] | None = None, deterministic: bool = True
    ) -> Float[Array, "B S D"]:
        attention = SelfAttention(self.num_heads, self.attention_dropout, self.dtype, name="self_attention")
        attended = attention(x, mask, deterministic)
        x = x + nn.Dropout(self.hidden_dropout)(attended, deterministic=deterministic)
        x = layer_norm(self.dtype, "norm1")(x)
        y = gelu(nn.Dense(self.intermediate_size, dtype=self.dtype, name="linear1")(x))
        y = nn.Dropout(self.activation_dropout)(y, deterministic=deterministic)
        y = nn.Dense(x.shape[-1], dtype=self.dtype, name="linear2")(y)
        x = x + nn.Dropout(self.hidden_dropout)(y, deterministic=deterministic)
        return layer_norm(self.dtype, "norm2")(x)


class Wav2Vec2Encoder(nn.Module):
    """The whole encoder. Training (`deterministic=False`) draws all its randomness from the stream "dropout"."""

    config: AudioConfig
    dtype: DTypeLike = jnp.float32  # of computation; parameters, statistics and softmax are float32
    remat: Remat = "none"

    @nn.compact
    def __call__(
        self,
        audio: Float[AnyArray, "B L"],
        lengths: Int[AnyArray, " B"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B S D"]:
        """Encodes sound.

        Args:
          audio: 16 kHz mono, zero mean and unit variance over the file.
          lengths: valid samples of each clip, which may be traced; None for all L.
          deterministic: False drops, skips and masks as the configuration says.

        Returns:
          float32 features, a frame for every whole 400 samples at a step of 320 (2 T - 1 for L = 640 T). Frames that
          see a sample beyond a clip's length are zero; the others are those of the clip cut to its length.
        """
        config = self.config
        x, counts = FeatureExtractor(config.conv_dim, self.dtype, name="feature_extractor")(
            audio, None if lengths is None else jnp.asarray(lengths)
        )
        if config.freeze_feature_extractor:
            x = jax.lax.stop_gradient(x)
        projection = FeatureProjection(
            config.hidden_size, config.feature_dropout, self.dtype, name="feature_projection"
        )
        x = at_boundary(projection(x, deterministic))

        masked_spec_embed = self.param(
            "masked_spec_embed", nn.initializers.uniform(1.0), (config.hidden_size,), jnp.float32
        )
        if not deterministic and config.mask_time_prob > 0:
            batch_size, num_frames, _ = x.shape
            spans = sample_spans(
                self.make_rng("dropout"),
                (batch_size, num_frames),
                config.mask_time_prob,
                config.mask_time_length,
                counts,
            )
            x = jnp.where(spans[..., None], masked_spec_embed[None, None].astype(self.dtype), x)

        valid = None if counts is None else _valid(counts, x.shape[1])
        if valid is not None:
            x = jnp.where(valid[..., None], x, 0)
        x = x + PositionalConvolution(
            config.num_conv_pos_embeddings, config.num_conv_pos_groups, self.dtype, name="positional_convolution"
        )(x)
        x = layer_norm(self.dtype, "norm")(x)
        x = nn.Dropout(config.hidden_dropout)(x, deterministic=deterministic)

        attention_mask = None if valid is None else valid[:, None, None, :]
        x = self._layers(x, attention_mask, deterministic).astype(jnp.float32)
        return x if valid is None else jnp.where(valid[..., None], x, 0)

    def _layers(self, x: Float[Array, "B S D"], mask: Array | None, deterministic: bool) -> Float[Array, "B S D"]:
        config = self.config
        sizes = (config.num_heads, config.intermediate_size)
        rates = (config.hidden_dropout, config.attention_dropout, config.activation_dropout)
        if params := layer_parameters(self, config.num_layers):
            layer = EncoderLayer(*sizes, *rates, self.dtype, parent=None)

            def apply(params: PyTree, x: Array, key: PRNGKeyArray | None) -> Array:
                return skippable(
                    lambda rngs: layer.apply({"params": params}, x, mask, deterministic, rngs=rngs),
                    x,
                    key,
                    config.layer_dropout,
                )

            key = None if deterministic else self.make_rng("dropout")
            return loop_over_layers(apply, params, x, key, self.remat)
        for index in range(config.num_layers):
            named = recomputed(EncoderLayer, self.remat)(*sizes, *rates, self.dtype, name=f"layer_{index}")
            y = named(x, mask, deterministic=deterministic)
            if not deterministic and config.layer_dropout > 0:
                keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - config.layer_dropout)
                y = jnp.where(keep, y, x)  # the whole batch skips the layer
            x = at_boundary(y)
        return x


def skippable(
    layer: Callable[[dict[str, PRNGKeyArray]], Any], x: Float[Array, "B S D"], key: PRNGKeyArray | None, rate: float
) -> Float[Array, "B S D"]:
    """A layer of a loop, which the whole batch skips with probability `rate` ("layerdrop").

    Args:
      layer: random streams to its output.
      x: its input.
      key: of dropout and skipping; None: neither.
      rate: of skipping.
    """
    if key is None:
        return at_boundary(layer({}))
    skip, dropout = jax.random.split(key)
    y = layer({"dropout": dropout})
    return at_boundary(jnp.where(jax.random.bernoulli(skip, 1 - rate), y, x) if rate > 0 else y)


def sample_spans(
    key: PRNGKeyArray,
    shape: tuple[int, int],
    mask_prob: float,
    mask_length: int,
    lengths: Int[Array, " B"] | None = None,
) -> Bool[Array, "B S"]:
    """Spans of time to mask (SpecAugment, Park et al., 2019), drawn as transformers does but with fixed shapes.

    A clip of n valid frames gets floor(mask_prob * n / mask_length + u) spans, at least 2, whose starts are drawn
    without replacement so that every span is whole; u is uniform in [0, 1), one number for the batch. Spans may
    overlap, so `mask_prob` is an upper bound of the share that is masked.

    Args:
      key: of the draw.
      shape: (B, S).
      mask_prob: share of frames inside spans, if none overlapped.
      mask_length: frames of a span.
      lengths: valid frames of each clip; None for all S.

    Returns:
      True where a frame is masked.
    """
    batch_size, num_frames = shape
    max_spans = min(max(int(mask_prob * num_frames / mask_length + 1), MIN_MASKED_SPANS), num_frames // mask_length)
    if max_spans == 0:
        return jnp.zeros(shape, bool)
    if lengths is None:
        lengths = jnp.full((batch_size,), num_frames)
    rounding_key, start_key = jax.random.split(key)
    wanted = (mask_prob * lengths / mask_length + jax.random.uniform(rounding_key)).astype(jnp.int32)
    num_starts = jnp.maximum(lengths - (mask_length - 1), 0)
    num_spans = jnp.minimum(jnp.clip(wanted, MIN_MASKED_SPANS, max_spans), num_starts)  # B

    # The largest of independent uniform numbers are a draw without replacement.
    scores = jnp.where(_valid(num_starts, num_frames), jax.random.uniform(start_key, shape), -1)
    _, starts = jax.lax.top_k(scores, max_spans)  # B spans
    offset = jnp.arange(num_frames)[None, None, :] - starts[..., None]  # B spans S
    inside = (offset >= 0) & (offset < mask_length)
    return (inside & _valid(num_spans, max_spans)[..., None]).any(axis=1)
