"""The listener's side: one window step, from which every protocol is made.

A step is a pure function (parameters, carry, window, noise) → (carry, reaction). The carry's shapes never change: past
reactions live in a buffer with masks, so that one compilation serves every window of every clip.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.boundary import at_boundary
from reactface_jax.models.interaction_encoder import InteractionEncoder
from reactface_jax.models.reaction_decoder import interpolate_latents, make_reaction_decoder
from reactface_jax.models.synchroniser import make_synchroniser
from reactface_jax.types import NUM_COEFFICIENTS, SPEECH_RATIO, AnyArray


class Speaker(NamedTuple):
    """The speaker's features over some frames, aligned with as many reaction frames."""

    speech: Float[Array, "B S D"] | None
    motion: Float[Array, "B F D"]
    visible_frames: Int[Array, " B"] | None = None
    """Frames of each clip that are not padding; None: all."""

    def frames(self, start: int | Int[Array, ""], count: int) -> "Speaker":
        """Some of them; how many are visible is left open."""

        def cut(x: Array, ratio: int) -> Array:
            return jax.lax.dynamic_slice_in_dim(x, ratio * start, ratio * count, axis=1)

        return Speaker(None if self.speech is None else cut(self.speech, SPEECH_RATIO), cut(self.motion, 1))

    def after(self, before: "Speaker") -> "Speaker":
        """With the frames before it; how many of its own are visible stays."""
        motion = jnp.concatenate([before.motion, self.motion], axis=1)
        if self.speech is None or before.speech is None:
            return self._replace(motion=motion)
        return self._replace(motion=motion, speech=jnp.concatenate([before.speech, self.speech], axis=1))


class Carry(NamedTuple):
    """What a conversation remembers between windows."""

    past: Float[Array, "B K P C"]
    """Generated coefficients: the whole clip's buffer, or the previous window."""
    latent: Float[Array, "B K D"]
    """z of the previous window, after momentum."""
    window: Int[Array, ""]
    """Number of the window to come."""


class Reaction(NamedTuple):
    """One window of a reaction."""

    coefficients: Float[Array, "B K w C"]
    mean: Float[Array, "B K D"]
    std: Float[Array, "B K D"]


class Listener(nn.Module):
    """CIE, sampling with momentum and interpolation, LRD and SLBS."""

    config: ModelConfig

    def setup(self) -> None:
        c = self.config
        dtype = jnp.dtype(c.dtype)
        self.interaction_encoder = InteractionEncoder(
            c.feature_dim, c.period, c.bias_unit, c.num_heads, c.interaction_layers, c.alignment, c.dropout, dtype
        )
        self.reaction_decoder = make_reaction_decoder(c)
        self.synchroniser = make_synchroniser(c)

    def start(self, batch_size: int, num_reactions: int, buffer: int) -> Carry:
        """The carry before the first window, with room for `buffer` past frames."""
        return Carry(
            past=jnp.zeros((batch_size, num_reactions, buffer, NUM_COEFFICIENTS), jnp.float32),
            latent=jnp.zeros((batch_size, num_reactions, self.config.feature_dim), jnp.float32),
            window=jnp.zeros((), jnp.int32),
        )

    def step_clip(
        self,
        carry: Carry,
        past_speaker: Speaker,
        speaker: Speaker,
        noise: Float[AnyArray, "B K D"],
        *,
        deterministic: bool = True,
    ) -> tuple[Carry, Reaction]:
        """The clip protocol: all past reactions, positions that count through the clip.

        Args:
          carry: with a buffer as long as the clip.
          past_speaker: the speaker over the whole buffer; frames after the past are masked here.
          speaker: the speaker in this window.
          noise: standard normal, one a reaction.
          deterministic: no dropout.
        """
        width = self.config.window
        start = carry.window * width
        # Window 0 reads w zero frames, aligned with the speaker's first w.
        num_past = jnp.maximum(start, width)
        before = past_speaker.frames(jnp.maximum(start - width, 0), width)
        carry, reaction = self._step(carry, past_speaker, num_past, before, speaker, start, noise, deterministic)
        past = jax.lax.dynamic_update_slice_in_dim(carry.past, reaction.coefficients, start, axis=2)
        return carry._replace(past=past), reaction

    def step_window(
        self,
        carry: Carry,
        past_speaker: Speaker,
        speaker: Speaker,
        noise: Float[AnyArray, "B K D"],
        before: Speaker | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Carry, Reaction]:
        """The past is the previous window only, and positions restart in every window.

        The reference's evaluation reads the previous window's reactions against the *current* window of the speaker:
        there `past_speaker` is `speaker`.

        Args:
          carry: with a buffer of one window.
          past_speaker: the speaker in the window that the past reactions are read against.
          speaker: the speaker in this window.
          noise: standard normal, one a reaction.
          before: the speaker in the window before, which `model.sync_memory` "previous" needs; anything in window 0.
          deterministic: no dropout.
        """
        width = self.config.window
        carry, reaction = self._step(carry, past_speaker, width, before, speaker, 0, noise, deterministic)
        return carry._replace(past=reaction.coefficients), reaction

    def _step(
        self,
        carry: Carry,
        past_speaker: Speaker,
        num_past: int | Array,
        before: Speaker | None,
        speaker: Speaker,
        position: int | Array,
        noise: AnyArray,
        deterministic: bool,
    ) -> tuple[Carry, Reaction]:
        mean, std = self.interaction_encoder(
            carry.past,
            past_speaker.speech,
            past_speaker.motion,
            num_past,
            past_speaker.visible_frames,
            deterministic=deterministic,
        )
        sample = mean + std * noise
        first = carry.window == 0
        momentum = self.config.momentum
        latent = jnp.where(first, sample, momentum * carry.latent + (1 - momentum) * sample)
        # The first window's memory is z only, repeated: attention over w equal tokens gives their common value.
        previous = jnp.where(first, latent, carry.latent)
        tokens = interpolate_latents(previous, latent, self.config.window)
        queries = self.reaction_decoder(tokens, position + jnp.arange(self.config.window), deterministic=deterministic)
        if self.config.sync_memory == "previous":
            assert before is not None, "the window before is needed"
            speaker = speaker.after(before)
        coefficients = self.synchroniser(
            queries, speaker.speech, speaker.motion, speaker.visible_frames, first=first, deterministic=deterministic
        )
        return Carry(carry.past, at_boundary(latent), carry.window + 1), Reaction(at_boundary(coefficients), mean, std)
