"""The causal ReactFace: the parameters of `ReactFace`; a clip at once or window by window gives the same numbers."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.causal.attention import Rings
from reactface_jax.models.causal.interaction_encoder import InteractionRings
from reactface_jax.models.causal.listener import CausalListener, ListenerState
from reactface_jax.models.causal.ring import Place, empty_ring, ring_size
from reactface_jax.models.causal.speaker_encoder import CausalSpeakerEncoder, SpeakerState, start_speaker
from reactface_jax.models.interaction_encoder import ENCODER_HEADS
from reactface_jax.models.listener import Reaction, Speaker
from reactface_jax.models.reactface import ReactFace
from reactface_jax.models.recomputation import policy
from reactface_jax.models.speaker_encoder import SpeakerFeatures
from reactface_jax.models.window_loop import scan_windows
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, SPEECH_RATIO, AnyArray


class StreamState(NamedTuple):
    """Several conversations that advance together: one pytree whose shapes never change."""

    frame: Int[Array, " B"]
    """Frames of each conversation so far. At 0 the rest of the state is ignored, so nothing else needs clearing."""
    slot: Int[Array, ""]
    """Index in the rings that the next window is written to."""
    speaker: SpeakerState
    listener: ListenerState


class CausalReactFace(ReactFace):
    """Every encoder sees only the past; see docs/streaming.md."""

    def setup(self) -> None:
        self.speaker_encoder = CausalSpeakerEncoder(self.config)
        self.listener = CausalListener(self.config)

    def encode(
        self,
        video: Float[AnyArray, "B T H W 3"],
        audio: Float[AnyArray, "B L"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> SpeakerFeatures:
        """The speaker's features over a whole clip at once. The sound may end up to a frame early."""
        frames = video.shape[1]
        padded = -(-frames // self.config.block) * self.config.block
        if padded != frames and lengths is None:
            lengths = jnp.full(video.shape[:1], frames)
        video = jnp.pad(jnp.asarray(video), [(0, 0), (0, padded - frames), (0, 0), (0, 0), (0, 0)])
        audio = jnp.asarray(audio)[:, : padded * SAMPLES_PER_FRAME]
        audio = jnp.pad(audio, [(0, 0), (0, padded * SAMPLES_PER_FRAME - audio.shape[1])])
        lengths = None if lengths is None else jnp.asarray(lengths)
        features, _ = self.speaker_encoder(video, audio, lengths, deterministic=deterministic)

        def cut(x: Array | None, ratio: int = 1) -> Array | None:
            return None if x is None else x[:, : ratio * frames]

        return SpeakerFeatures(
            cut(features.video),
            cut(features.wav2vec2, SPEECH_RATIO),
            cut(features.speech, SPEECH_RATIO),
            features.vector[:, :frames],
            features.motion[:, :frames],
        )

    def react_to_clip(
        self,
        features: SpeakerFeatures,
        noise: Float[AnyArray, "B K N D"],
        lengths: Int[AnyArray, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B K T C"], Float[Array, "B K N D"], Float[Array, "B K N D"]]:
        """Reactions to an encoded clip, window after window: listener, mean and std.

        In training a clip is a piece of a longer conversation: its positions count from a frame up to
        `model.max_position`, so that a conversation's fifth minute has numbers that the model knows.
        """
        batch, num_reactions, num_windows = noise.shape[:3]
        num_frames, width = features.motion.shape[1], self.config.window
        # A ring is never longer than the clip.
        size = min(ring_size(self.config.max_context, width), num_windows * width)
        state = start_listener(self.config, batch, num_reactions, size)
        place = Place(jnp.zeros((batch,), jnp.int32), jnp.zeros((), jnp.int32), size, width)
        offset = None
        if not deterministic and self.config.max_position:
            offset = jax.random.randint(self.make_rng("dropout"), (batch,), 0, self.config.max_position + 1)
        windows = self._windows(features, lengths)
        return self._react(windows, noise, state, place, num_frames, deterministic, offset)[1:]

    def step(
        self,
        state: StreamState,
        video: Float[AnyArray, "B F H W 3"],
        audio: Float[AnyArray, "B L"],
        noise: Float[AnyArray, "B K M D"],
        lengths: Int[AnyArray, " B"] | None = None,
    ) -> tuple[StreamState, Float[Array, "B K F C"]]:
        """Goes on with conversations by one or more whole windows.

        Args:
          state: as the step before left it.
          video: F = M w frames in [-1, 1] at 25 fps.
          audio: 640 F samples at 16 kHz, at any level.
          noise: standard normal, one vector a reaction and window.
          lengths: frames that are not padding (None: all); a conversation ends with its padding.
        """
        width = self.config.window
        lengths = None if lengths is None else jnp.asarray(lengths)
        size = ring_size(self.config.max_context, width)
        place = Place(state.frame, state.slot, size, width)
        features, speaker = self.speaker_encoder(jnp.asarray(video), jnp.asarray(audio), lengths, state.speaker, place)
        assert speaker is not None
        frames = video.shape[1]
        listener, reactions, _, _ = self._react(
            self._windows(features, lengths), jnp.asarray(noise), state.listener, place, frames, True
        )
        after = StreamState(state.frame + frames, (state.slot + frames) % size, speaker, listener)
        return after, reactions

    def _react(
        self,
        windows: Speaker,
        noise: AnyArray,
        state: ListenerState,
        place: Place,
        num_frames: int,
        deterministic: bool,
        offset: Int[Array, " B"] | None = None,
    ) -> tuple[ListenerState, Array, Array, Array]:
        """Window steps; returns the state after them, the listener's frames, and mean and std of each window."""
        c, width, size = self.config, self.config.window, place.size

        def step(
            module: CausalReactFace, carry: tuple[ListenerState, Array, Array], x: tuple[Speaker, Array]
        ) -> tuple[tuple[ListenerState, Array, Array], Reaction]:
            state, frame, slot = carry
            state, reaction = module.listener.step(
                state, *x, Place(frame, slot, size, width), offset, deterministic=deterministic
            )
            return (state, frame + width, (slot + width) % size), reaction

        carry, xs = (state, place.frame, place.slot), (windows, jnp.moveaxis(jnp.asarray(noise), 2, 0))
        run = step if c.remat == "none" else nn.remat(step, prevent_cse=False, policy=policy(c.remat))
        if noise.shape[2] == 1:  # without a loop, rings are updated in place
            carry, reaction = run(self, carry, jax.tree.map(lambda x: x[0], xs))
            out = jax.tree.map(lambda x: x[None], reaction)
        else:
            carry, out = scan_windows(run, self, carry, xs)
        listener, mean, std = (jnp.moveaxis(x, 0, 2) for x in out)
        listener = listener.reshape(*listener.shape[:2], -1, NUM_COEFFICIENTS)[:, :, :num_frames]
        return carry[0], listener, mean, std


def start(config: ModelConfig, batch_size: int, num_reactions: int, image_size: tuple[int, int]) -> StreamState:
    """The state of conversations that have not begun."""
    size = ring_size(config.max_context, config.window)
    return StreamState(
        jnp.zeros((batch_size,), jnp.int32),
        jnp.zeros((), jnp.int32),
        start_speaker(config, batch_size, image_size, size),
        start_listener(config, batch_size, num_reactions, size),
    )


def start_listener(config: ModelConfig, batch_size: int, num_reactions: int, size: int) -> ListenerState:
    """The listener's state before the first window, with rings of `size` frames."""
    dtype, dim, width = jnp.dtype(config.dtype), config.feature_dim, config.window

    def decoder(ratio: int) -> Rings:
        own = empty_ring((batch_size, num_reactions), config.num_heads, size, dim, dtype)
        return Rings(own, empty_ring((batch_size, 1), config.num_heads, ratio * size, dim, dtype))

    def window(ratio: int) -> Array:
        return jnp.zeros((batch_size, ratio * width, dim), dtype)

    encoder = tuple(
        empty_ring((batch_size, num_reactions), ENCODER_HEADS, size, dim, dtype)
        for _ in range(config.interaction_layers)
    )
    return ListenerState(
        jnp.zeros((batch_size, num_reactions, width, NUM_COEFFICIENTS), jnp.float32),
        window(SPEECH_RATIO) if config.use_audio else None,
        window(1),
        jnp.zeros((batch_size, num_reactions, dim), jnp.float32),
        InteractionRings(decoder(SPEECH_RATIO) if config.use_audio else None, decoder(1), encoder),
    )
