"""ReactFace: speaker encoder and listener joined; the clip, prefix and window protocols as scans of one window step."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.errors import UserError
from reactface_jax.models.listener import Carry, Listener, Reaction, Speaker
from reactface_jax.models.recomputation import policy
from reactface_jax.models.speaker_encoder import SpeakerFeatures, make_speaker_encoder
from reactface_jax.models.wav2vec2 import CONV_KERNELS, CONV_STRIDES
from reactface_jax.models.window_loop import scan_windows
from reactface_jax.types import SAMPLES_PER_FRAME, SPEECH_RATIO, AnyArray, Reactions

PREFIX_SEGMENT = 128
"""Frames by which the prefix protocol's buffer grows: a smaller number saves computation and costs compilation."""


class ReactFace(nn.Module):
    """The model of Luo et al., TVCG 2024, as its public code computes it; see docs/model.md for the differences."""

    config: ModelConfig

    def setup(self) -> None:
        c = self.config
        assert not c.causal, "build_model makes the causal model"
        self.speaker_encoder: nn.Module = make_speaker_encoder(c)
        self.listener: nn.Module = Listener(c)

    def __call__(
        self,
        video: Float[AnyArray, "B T H W 3"],
        audio: Float[AnyArray, "B L"],
        *,
        num_reactions: int = 1,
        noise: Float[AnyArray, "B K N D"] | None = None,
        lengths: Int[AnyArray, " B"] | None = None,
        deterministic: bool = True,
    ) -> Reactions:
        """The clip protocol, as in training: the speaker is encoded once, over the whole clip.

        Args:
          video: the speaker's frames in [-1, 1] at 25 fps.
          audio: the speaker's voice at 16 kHz, normalised over its file. If it ends before the video, the video is cut.
          num_reactions: K.
          noise: standard normal, one vector a reaction and window; None draws it from the "sample" stream.
          lengths: valid frames of each clip in a padded batch; None: all.
          deterministic: no dropout; otherwise the "dropout" stream is needed.

        Raises:
          UserError: the noise has another shape.
        """
        video, audio = trim(video, audio)
        features = self.encode(video, audio, lengths, deterministic=deterministic)
        listener, mean, std = self.react_to_clip(
            features, self._noise(noise, num_reactions, video), lengths, deterministic=deterministic
        )
        speaker = self.speaker_encoder.reconstruct(features.vector, lengths, deterministic=deterministic)
        return Reactions(listener, mean, std, speaker)

    def encode(
        self,
        video: Float[AnyArray, "B T H W 3"],
        audio: Float[AnyArray, "B L"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> SpeakerFeatures:
        """The speaker's features; see `SpeakerEncoder`."""
        return self.speaker_encoder(jnp.asarray(video), jnp.asarray(audio), lengths, deterministic=deterministic)

    def react_to_clip(
        self,
        features: SpeakerFeatures,
        noise: Float[AnyArray, "B K N D"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B K T C"], Float[Array, "B K N D"], Float[Array, "B K N D"]]:
        """Reactions to an encoded clip, window after window: listener, mean and std."""
        num_frames = features.motion.shape[1]
        windows = self._windows(features, lengths)
        # A clip shorter than a window has padding among the w frames that window 0 reads.
        whole = Speaker(*_pad_frames(features, self._padded(num_frames)), self._ends(features.motion, lengths))
        all_past = self.config.past == "all"
        carry = self._start(noise, self._padded(num_frames) if all_past else self.config.window)

        def step(module: ReactFace, carry: Carry, x: tuple[Speaker, Speaker, Array]) -> tuple[Carry, Reaction]:
            previous, speaker, eps = x
            if all_past:
                return module.listener.step_clip(carry, whole, speaker, eps, deterministic=deterministic)
            return module.listener.step_window(
                carry, previous, speaker, eps, before=previous, deterministic=deterministic
            )

        # With `past="window"` the past is read against the speaker of its own frames; window 0 against the first.
        _, reactions = self._scan(step, carry, (_before(windows), windows, jnp.moveaxis(noise, 2, 0)))
        return _joined(reactions, num_frames)

    def react_to_prefixes(
        self,
        video: Float[AnyArray, "B T H W 3"],
        audio: Float[AnyArray, "B L"],
        noise: Float[AnyArray, "B K N D"],
        lengths: Int[AnyArray, " B"] | None = None,
    ) -> tuple[Float[Array, "B K T C"], Float[Array, "B K N D"], Float[Array, "B K N D"]]:
        """The reference's evaluation: in every window all frames so far are encoded again, from the first.

        They are encoded once for all reactions. The buffer grows by segments, so that early windows do not pay for the
        clip's whole length.
        """
        width = self.config.window
        num_frames = video.shape[1]
        carry = self._start(noise, width)
        ends = jnp.full(video.shape[:1], num_frames) if lengths is None else lengths
        padded = self._padded(num_frames)
        video = jnp.pad(video, [(0, 0), (0, padded - num_frames), (0, 0), (0, 0), (0, 0)])
        audio = jnp.pad(audio, [(0, 0), (0, padded * SAMPLES_PER_FRAME - audio.shape[1])])

        def step(module: ReactFace, carry: Carry, eps: Array, *, seen: int) -> tuple[Carry, Reaction]:
            start = carry.window * width
            until = jnp.minimum(start + width, ends)
            features = module.encode(video[:, :seen], audio[:, : seen * SAMPLES_PER_FRAME], until)
            visible = jnp.clip(ends - start, 1, width)
            seen_speaker = Speaker(features.speech, features.motion)
            speaker = seen_speaker.frames(start, width)._replace(visible_frames=visible)
            before = seen_speaker.frames(jnp.maximum(start - width, 0), width)
            return module.listener.step_window(carry, speaker, speaker, eps, before=before)

        eps = jnp.moveaxis(noise, 2, 0)
        segment = -(-PREFIX_SEGMENT // width) * width
        parts = []
        for first in range(0, padded, segment):
            seen = min(first + segment, padded)
            carry, reactions = self._scan(
                functools.partial(step, seen=seen), carry, eps[first // width : seen // width]
            )
            parts.append(reactions)
        return _joined(jax.tree.map(lambda *x: jnp.concatenate(x), *parts), num_frames)

    def react_to_windows(
        self,
        video: Float[AnyArray, "B T H W 3"],
        audio: Float[AnyArray, "B L"],
        noise: Float[AnyArray, "B K N D"],
        lengths: Int[AnyArray, " B"] | None = None,
    ) -> tuple[Float[Array, "B K T C"], Float[Array, "B K N D"], Float[Array, "B K N D"]]:
        """The reference's script for own videos: every window is encoded by itself, all of them in one batch here."""
        width = self.config.window
        batch, num_frames = video.shape[:2]
        padded = self._padded(num_frames)
        num_windows = padded // width
        ends = jnp.full((batch,), num_frames) if lengths is None else lengths
        video = jnp.pad(video, [(0, 0), (0, padded - num_frames), (0, 0), (0, 0), (0, 0)])
        audio = jnp.pad(audio, [(0, 0), (0, padded * SAMPLES_PER_FRAME - audio.shape[1])])
        visible = jnp.clip(ends[:, None] - width * jnp.arange(num_windows)[None, :], 1, width)  # B N
        features = self.encode(
            video.reshape(batch * num_windows, width, *video.shape[2:]),
            audio.reshape(batch * num_windows, width * SAMPLES_PER_FRAME),
            visible.reshape(-1),
        )

        def by_window(x: Array) -> Array:
            return jnp.moveaxis(x.reshape(batch, num_windows, *x.shape[1:]), 1, 0)

        speech = None if features.speech is None else by_window(features.speech)
        windows = Speaker(speech, by_window(features.motion), visible.T)
        carry = self._start(noise, width)

        def step(module: ReactFace, carry: Carry, x: tuple[Speaker, Speaker, Array]) -> tuple[Carry, Reaction]:
            before, speaker, eps = x
            return module.listener.step_window(carry, speaker, speaker, eps, before=before)

        _, reactions = self._scan(step, carry, (_before(windows), windows, jnp.moveaxis(noise, 2, 0)))
        return _joined(reactions, num_frames)

    def _start(self, noise: AnyArray, buffer: int) -> Carry:
        batch, num_reactions = noise.shape[:2]
        return self.listener.start(batch, num_reactions, buffer)

    def _scan(self, step: Callable[..., tuple[Carry, Reaction]], carry: Carry, xs: object) -> tuple[Carry, Reaction]:
        """`lax.scan` of a window step: the last carry, and the reactions with windows first."""
        if self.config.remat != "none":
            step = nn.remat(step, prevent_cse=False, policy=policy(self.config.remat))
        scanned: tuple[Carry, Reaction] = scan_windows(step, self, carry, xs)
        return scanned

    def _windows(self, features: SpeakerFeatures, lengths: AnyArray | None) -> Speaker:
        """The clip's features cut into windows, [N B ...]; padding of the last window is marked."""
        width = self.config.window
        batch, num_frames, _ = features.motion.shape
        padded = self._padded(num_frames)
        num_windows = padded // width

        def by_window(x: Array) -> Array:
            return jnp.moveaxis(x.reshape(batch, num_windows, -1, x.shape[-1]), 1, 0)

        speech, motion = _pad_frames(features, padded)
        visible, ends = None, self._ends(features.motion, lengths)
        if ends is not None:
            visible = jnp.clip(ends[None, :] - width * jnp.arange(num_windows)[:, None], 1, width)  # N B
        return Speaker(None if speech is None else by_window(speech), by_window(motion), visible)

    def _ends(self, motion: Float[Array, "B T D"], lengths: AnyArray | None) -> Int[Array, " B"] | None:
        """Valid frames of each clip; None: all clips fill their last window."""
        batch, num_frames, _ = motion.shape
        if lengths is not None:
            return jnp.asarray(lengths)
        return None if self._padded(num_frames) == num_frames else jnp.full((batch,), num_frames)

    def _padded(self, num_frames: int) -> int:
        return -(-num_frames // self.config.window) * self.config.window

    def _noise(self, noise: AnyArray | None, num_reactions: int, video: Array) -> Array:
        shape = (
            video.shape[0],
            num_reactions,
            self._padded(video.shape[1]) // self.config.window,
            self.config.feature_dim,
        )
        if noise is None:
            return jax.random.normal(self.make_rng("sample"), shape, jnp.float32)
        if noise.shape != shape:
            raise UserError(f"noise has shape {noise.shape}, but these clips need [B, K, N, D] = {shape}")
        return jnp.asarray(noise)


def trim(
    video: Float[AnyArray, "B T H W 3"], audio: Float[AnyArray, "B L"]
) -> tuple[Float[Array, "B T2 H W 3"], Float[Array, "B L2"]]:
    """Cuts the longer of video and sound to the shorter one's whole frames.

    The reference cuts to S // 2 frames, S counting the encoder's frames and the zero frame after them: a frame whose
    last sample or so is missing still counts.
    """
    speech = audio.shape[1]
    for kernel, stride in zip(CONV_KERNELS, CONV_STRIDES, strict=True):
        speech = (speech - kernel) // stride + 1
    num_frames = min(video.shape[1], (speech + 1) // SPEECH_RATIO)
    video, audio = jnp.asarray(video), jnp.asarray(audio)
    return video[:, :num_frames], audio[:, : num_frames * SAMPLES_PER_FRAME]


def _joined(reactions: Reaction, num_frames: int) -> tuple[Array, Array, Array]:
    """Windows joined and cut to the clip's frames; mean and std of each."""
    listener = jnp.moveaxis(reactions.coefficients, 0, 2)  # B K N w C
    batch, num_reactions = listener.shape[:2]
    listener = listener.reshape(batch, num_reactions, -1, listener.shape[-1])[:, :, :num_frames]
    return listener, jnp.moveaxis(reactions.mean, 0, 2), jnp.moveaxis(reactions.std, 0, 2)


def _before(windows: Speaker) -> Speaker:
    """The window before each, [N B ...]; the first stands before itself."""
    before: Speaker = jax.tree.map(lambda x: jnp.concatenate([x[:1], x[:-1]]), windows)
    return before


def _pad_frames(features: SpeakerFeatures, num_frames: int) -> tuple[Array | None, Array]:
    """Speech and motion, padded with zeros to `num_frames`."""

    def pad(x: Array, length: int) -> Array:
        return jnp.pad(x, [(0, 0), (0, length - x.shape[1]), (0, 0)])

    speech = None if features.speech is None else pad(features.speech, SPEECH_RATIO * num_frames)
    return speech, pad(features.motion, num_frames)
