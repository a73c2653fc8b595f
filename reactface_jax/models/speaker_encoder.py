"""MSBEA: the speaker's face and voice become features aligned to the video's frames.

A-Enc (wav2vec 2.0) and F-Enc feed three decoder layers (PMA): the face attends to itself, then to its own two speech
frames, then again. Nothing here depends on the listener: the speaker is encoded once for K reactions.
"""

from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.models.attention import DecoderLayer
from reactface_jax.models.boundary import at_boundary
from reactface_jax.models.positions import alignment_bias, hide_beyond, periodic, temporal_bias
from reactface_jax.models.recomputation import Remat, recomputed
from reactface_jax.models.video_encoder import VideoEncoder
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder
from reactface_jax.ops.linear import dense
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, SPEECH_RATIO, AnyArray


class SpeakerFeatures(NamedTuple):
    """What the listener's side sees of the speaker, and the stages on the way. Absent modalities are None."""

    video: Float[Array, "B T D"] | None
    wav2vec2: Float[Array, "B S E"] | None
    speech: Float[Array, "B S D"] | None
    vector: Float[Array, "B T D"]
    """After decoder2; the reconstruction of the speaker's own coefficients starts here."""
    motion: Float[Array, "B T D"]
    """After decoder3: the aligned speaker motion."""


class SpeakerEncoder(nn.Module):
    """Frames and samples of the speaker to `SpeakerFeatures`.

    Without video the queries are the speech of each frame (mean of its two speech frames); without audio the layers
    that attend to speech are left out.
    """

    feature_dim: int
    period: int
    """Of the positions (frames)."""
    bias_period: int
    """Frames in a unit of the biases."""
    num_heads: int
    audio: AudioConfig
    use_audio: bool = True
    use_video: bool = True
    video_grid: int = 28
    video_gain: float = 1.0
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32
    video_chunk: int = 0
    remat: Remat = "none"
    memory: Literal["all", "past"] = "all"
    """Frames that attention to the face sees; past: a frame's own and those before, fading as in self-attention."""

    def setup(self) -> None:
        if self.use_video:
            self.video_encoder = VideoEncoder(
                self.feature_dim, self.video_grid, self.video_gain, self.dtype, self.video_chunk
            )
        if self.use_audio:
            self.audio_encoder = Wav2Vec2Encoder(self.audio, self.dtype, self.remat)
            self.audio_feature_map = dense(self.feature_dim, self.dtype)
            self.speech_decoder = self._decoder()
            self.motion_decoder = self._decoder()
        self.face_decoder = self._decoder()
        self.speaker_decoder = self._decoder()
        self.speaker_map = nn.Dense(
            NUM_COEFFICIENTS, kernel_init=nn.initializers.zeros, dtype=jnp.float32
        )  # zero-initialised, as the reference's
        self.drop = nn.Dropout(self.dropout)

    def _decoder(self) -> DecoderLayer:
        return recomputed(DecoderLayer, self.remat)(self.num_heads, self.dropout, self.dtype)

    def __call__(
        self,
        video: Float[Array, "B T H W 3"],
        audio: Float[Array, "B L"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> SpeakerFeatures:
        """Encodes the speaker.

        Args:
          video: frames in [-1, 1] at 25 fps.
          audio: 16 kHz samples, normalised over their whole file, at least 640 a frame.
          lengths: valid frames of each clip (None: all). The rest is padding and does not change the features of
            the valid frames.
          deterministic: no dropout.
        """
        num_frames = video.shape[1]
        frames = speech = wav2vec2 = None
        if self.use_audio:
            wav2vec2 = at_boundary(self._encode_audio(audio, num_frames, lengths, deterministic))
            speech = self.audio_feature_map(wav2vec2)
        if self.use_video:
            frames = at_boundary(self.video_encoder(video, lengths))
        f = frames if frames is not None else mean_of_pairs(speech)
        f = f + periodic(num_frames, self.feature_dim, self.period).astype(self.dtype)[None]
        f = self.drop(f, deterministic=deterministic)

        bias = temporal_bias(self.num_heads, num_frames, self.bias_period)
        own_face = _of_valid(lengths, num_frames)
        if self.memory == "past":
            own_face = bias  # padding comes after all valid frames
        vector = motion = self.face_decoder(f, f, bias, own_face, deterministic=deterministic)
        if speech is not None:
            own_speech = alignment_bias(
                self.num_heads,
                num_frames,
                SPEECH_RATIO * num_frames,
                period=self.bias_period,
                ratio=SPEECH_RATIO,
                offset=0,
                alignment="point_to_point",
            )
            vector = self.speech_decoder(vector, speech, bias, own_speech, deterministic=deterministic)
            motion = self.motion_decoder(vector, speech, bias, own_speech, deterministic=deterministic)
        return SpeakerFeatures(frames, wav2vec2, speech, at_boundary(vector), at_boundary(motion))

    def reconstruct(
        self,
        vector: Float[Array, "B T D"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B T C"]:
        """The speaker's own coefficients, a training signal; `lengths` as in `__call__`."""
        valid = _of_valid(lengths, vector.shape[1])
        decoded = self.speaker_decoder(vector, vector, valid, valid, deterministic=deterministic)
        return self.speaker_map(decoded.astype(jnp.float32))

    def _encode_audio(self, audio: Array, num_frames: int, lengths: AnyArray | None, deterministic: bool) -> Array:
        samples = None if lengths is None else SAMPLES_PER_FRAME * lengths
        y = self.audio_encoder(audio[:, : SAMPLES_PER_FRAME * num_frames], samples, deterministic=deterministic)
        # 640 T samples give 2 T - 1 frames; the reference appends one of zeros.
        y = jnp.pad(y, [(0, 0), (0, 1), (0, 0)])[:, : SPEECH_RATIO * num_frames]
        if lengths is not None:
            valid = jnp.arange(y.shape[1])[None, :] < SPEECH_RATIO * lengths[:, None] - 1
            y = jnp.where(valid[:, :, None], y, 0)
        return y


def _of_valid(lengths: Int[AnyArray, " B"] | None, num_frames: int) -> Float[Array, "B 1 1 T"] | None:
    """Mask of attention to the valid frames; None: all are."""
    return None if lengths is None else hide_beyond(lengths, num_frames)[:, None, None, :]


def mean_of_pairs(speech: Float[Array, "B S D"] | None) -> Float[Array, "B T D"]:
    """The mean of each video frame's two speech frames."""
    assert speech is not None  # the configuration refuses a model without both modalities
    batch, num_speech, dim = speech.shape
    return speech.reshape(batch, num_speech // SPEECH_RATIO, SPEECH_RATIO, dim).mean(axis=2)


def make_speaker_encoder(config: ModelConfig) -> SpeakerEncoder:
    """The speaker encoder of a configuration's model, in its setup."""
    return SpeakerEncoder(
        config.feature_dim,
        config.period,
        config.bias_unit,
        config.num_heads,
        config.audio,
        config.use_audio,
        config.use_video,
        config.video_grid,
        config.video_gain,
        config.dropout,
        jnp.dtype(config.dtype),
        config.video_chunk,
        config.remat,
        config.memory,
    )
