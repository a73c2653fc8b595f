"""MSBEA, causal: a frame's features depend on video and sound up to the end of its block."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.boundary import at_boundary
from reactface_jax.models.causal.attention import (
    NO_RINGS,
    CausalDecoderLayer,
    Rings,
    speech_mask,
    temporal_mask,
)
from reactface_jax.models.causal.ring import KeysValues, Place, empty_ring
from reactface_jax.models.causal.running_statistics import Statistics
from reactface_jax.models.causal.video_encoder import CausalVideoEncoder, Layer, VideoState
from reactface_jax.models.causal.wav2vec2 import AudioState, CausalWav2Vec2Encoder
from reactface_jax.models.positions import sinusoidal
from reactface_jax.models.speaker_encoder import SpeakerFeatures, mean_of_pairs
from reactface_jax.models.wav2vec2 import CONV_KERNELS, CONV_STRIDES
from reactface_jax.ops.linear import dense
from reactface_jax.types import NUM_COEFFICIENTS, SPEECH_RATIO, AnyArray


class SpeakerState(NamedTuple):
    """What the encoder remembers of the speaker. Absent modalities are None."""

    video: VideoState | None
    audio: AudioState | None
    audio_rings: tuple[KeysValues, ...] | None
    face: Rings
    speech: Rings | None
    motion: Rings | None


class CausalSpeakerEncoder(nn.Module):
    """`SpeakerEncoder` with the same parameters, whose features depend only on the past."""

    config: ModelConfig

    def setup(self) -> None:
        c = self.config
        self.dtype = jnp.dtype(c.dtype)
        if c.use_video:
            tile = math.gcd(c.window, 4)
            self.video_encoder = CausalVideoEncoder(
                c.feature_dim, c.video_grid, c.video_gain, self.dtype, tile, c.video_chunk, c.video_start
            )
        if c.use_audio:
            self.audio_encoder = CausalWav2Vec2Encoder(c.audio, c.block, c.max_context, self.dtype, c.remat)
            self.audio_feature_map = dense(c.feature_dim, self.dtype)
            self.speech_decoder = self._decoder()
            self.motion_decoder = self._decoder()
        self.face_decoder = self._decoder()
        self.speaker_decoder = self._decoder()
        self.speaker_map = nn.Dense(NUM_COEFFICIENTS, kernel_init=nn.initializers.zeros, dtype=jnp.float32)
        self.drop = nn.Dropout(c.dropout)

    def _decoder(self) -> CausalDecoderLayer:
        return CausalDecoderLayer(self.config.num_heads, self.config.dropout, self.dtype)

    def __call__(
        self,
        video: Float[Array, "B T H W 3"],
        audio: Float[Array, "B L"],
        lengths: Int[Array, " B"] | None = None,
        state: SpeakerState | None = None,
        place: Place | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[SpeakerFeatures, SpeakerState | None]:
        """Encodes a chunk of the speaker.

        Args:
          video: whole blocks of frames in [-1, 1] at 25 fps.
          audio: 640 samples a frame at 16 kHz, at any level.
          lengths: frames of the chunk that are not padding (None: all). A padded chunk is a conversation's last.
          state: after the chunk before; None: the chunk is a whole clip.
          place: where the chunk stands in the conversation, with a state.
          deterministic: no dropout.
        """
        c, num_frames = self.config, video.shape[1]
        frames = speech = wav2vec2 = video_state = audio_state = audio_rings = None
        if c.use_audio:
            wav2vec2, audio_state, audio_rings = self.audio_encoder(
                audio,
                lengths,
                state and state.audio,
                state and state.audio_rings,
                place,
                deterministic=deterministic,
            )
            speech = self.audio_feature_map(wav2vec2)
        if c.use_video:
            frames, video_state = self.video_encoder(video, state and state.video, place)
            frames = at_boundary(frames)
        f = frames if frames is not None else mean_of_pairs(speech)
        f = self.drop(f + self._positions(num_frames, place), deterministic=deterministic)

        fading = temporal_mask(c.num_heads, num_frames, c.max_context, c.bias_unit, place)
        past = temporal_mask(c.num_heads, num_frames, c.max_context, None, place)
        vector, face = self.face_decoder(
            f, f, fading, past, _look_back(state and state.face), place, deterministic=deterministic
        )
        motion, own, others = vector, None, None
        if speech is not None:
            own_speech = speech_mask(
                c.num_heads, num_frames, c.max_context, c.bias_unit, SPEECH_RATIO, "point_to_point", None
            )
            vector, own = self.speech_decoder(
                vector,
                speech,
                fading,
                own_speech,
                _look_back(state and state.speech),
                place,
                deterministic=deterministic,
            )
            motion, others = self.motion_decoder(
                vector,
                speech,
                fading,
                own_speech,
                _look_back(state and state.motion),
                place,
                deterministic=deterministic,
            )
        features = SpeakerFeatures(frames, wav2vec2, speech, at_boundary(vector), at_boundary(motion))
        if state is None or place is None:
            return features, None
        return features, SpeakerState(video_state, audio_state, audio_rings, face, own, others)

    def reconstruct(
        self,
        vector: Float[Array, "B T D"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B T C"]:
        """The speaker's own coefficients, a training signal; causal too, so that padding needs no mask."""
        c = self.config
        past = temporal_mask(c.num_heads, vector.shape[1], c.max_context, None, None)
        decoded, _ = self.speaker_decoder(vector, vector, past, past, deterministic=deterministic)
        return self.speaker_map(decoded.astype(jnp.float32))

    def _positions(self, num_frames: int, place: Place | None) -> Float[Array, "B T D"]:
        first = jnp.zeros((1,), jnp.int32) if place is None else place.frame
        number = first[:, None] + jnp.arange(num_frames)[None, :]
        return sinusoidal(number % self.config.period, self.config.feature_dim).astype(self.dtype)


def _look_back(rings: Rings | None) -> Rings:
    return NO_RINGS if rings is None else rings


def start_speaker(config: ModelConfig, batch_size: int, image_size: tuple[int, int], size: int) -> SpeakerState:
    """The encoder's state before the first frame, with rings of `size` frames."""
    dtype, dim = jnp.dtype(config.dtype), config.feature_dim

    def decoder(cross: bool) -> Rings:
        ring = empty_ring((batch_size,), config.num_heads, size, dim, dtype)
        return Rings(ring, empty_ring((batch_size,), config.num_heads, size, dim, dtype) if cross else None)

    audio = audio_rings = None
    if config.use_audio:
        sizes = config.audio
        overlaps = [kernel - stride for kernel, stride in zip(CONV_KERNELS, CONV_STRIDES, strict=True)]
        channels = [1] + [sizes.conv_dim] * (len(overlaps) - 1)
        audio = AudioState(
            Statistics.empty(batch_size, 1),
            tuple(jnp.zeros((batch_size, k, c), dtype) for k, c in zip(overlaps, channels, strict=True) if k),
            Statistics.empty(batch_size, sizes.conv_dim),
            jnp.zeros((batch_size, sizes.num_conv_pos_embeddings // 2, sizes.hidden_size), dtype),
        )
        audio_rings = tuple(
            empty_ring((batch_size,), sizes.num_heads, SPEECH_RATIO * size, sizes.hidden_size, dtype)
            for _ in range(sizes.num_layers)
        )
    return SpeakerState(
        _start_video(config, batch_size, image_size) if config.use_video else None,
        audio,
        audio_rings,
        decoder(cross=True),
        decoder(cross=False) if config.use_audio else None,
        decoder(cross=False) if config.use_audio else None,
    )


def _start_video(config: ModelConfig, batch_size: int, image_size: tuple[int, int]) -> VideoState:
    dtype, dim, grid = jnp.dtype(config.dtype), config.feature_dim, config.video_grid
    pooled = tuple(((edge + 1) // 2 - 3) // 2 + 1 for edge in image_size)
    halved = (grid + 1) // 2

    def layer(known: int, size: tuple[int, ...], channels: int, features: int) -> Layer:
        frames = jnp.zeros((batch_size, known, *size, channels), dtype)
        return Layer(frames, Statistics.empty(batch_size, features))

    return VideoState(
        layer(4, image_size, 3, dim // 4),
        layer(4, pooled, dim // 4, dim),
        layer(2, (grid, grid), dim, dim),
        layer(2, (halved, halved), dim, dim),
        layer(2, (halved, halved), dim, dim),
    )
