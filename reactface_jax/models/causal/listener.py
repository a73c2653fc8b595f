"""The listener of the causal model: one window step, for clips in training and for conversations without end."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.boundary import at_boundary
from reactface_jax.models.causal.interaction_encoder import CausalInteractionEncoder, InteractionRings
from reactface_jax.models.causal.ring import Place
from reactface_jax.models.listener import Reaction, Speaker
from reactface_jax.models.reaction_decoder import interpolate_latents, make_reaction_decoder
from reactface_jax.models.synchroniser import make_synchroniser
from reactface_jax.types import AnyArray


class ListenerState(NamedTuple):
    """What the listener remembers."""

    reaction: Float[Array, "B K w C"]
    """The last window's coefficients, and the speaker's features of that window."""
    speech: Float[Array, "B S D"] | None
    motion: Float[Array, "B w D"]
    latent: Float[Array, "B K D"]
    """z of the last window, after momentum."""
    rings: InteractionRings
    """Keys and values of the windows before the last."""


class CausalListener(nn.Module):
    """`Listener` with the causal CIE; the parameters are the same."""

    config: ModelConfig

    def setup(self) -> None:
        c = self.config
        self.interaction_encoder = CausalInteractionEncoder(c)
        self.reaction_decoder = make_reaction_decoder(c)
        self.synchroniser = make_synchroniser(c)

    def step(
        self,
        state: ListenerState,
        speaker: Speaker,
        noise: Float[AnyArray, "B K D"],
        place: Place,
        offset: Int[Array, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[ListenerState, Reaction]:
        """Reacts to one window of the speaker.

        Args:
          state: after the window before.
          speaker: the speaker's features in this window.
          noise: standard normal, one a reaction.
          place: where the window stands in each conversation.
          offset: added to the frame numbers that the reactions' positions are computed from; None: 0.
          deterministic: no dropout.
        """
        width = self.config.window
        first = place.frame == 0  # B

        def choose(now: Array, before: Array) -> Array:
            return jnp.where(first.reshape(-1, *(1,) * (now.ndim - 1)), now, before)

        # Window 0 reads w zero frames against the speaker's first w; window 1 reads window 0 in their place.
        reaction = choose(jnp.zeros_like(state.reaction), state.reaction)
        speech = None if speaker.speech is None or state.speech is None else choose(speaker.speech, state.speech)
        visible = speaker.visible_frames
        mean, std, rings = self.interaction_encoder(
            reaction,
            speech,
            choose(speaker.motion, state.motion),
            None if visible is None else jnp.where(first, visible, width),
            state.rings,
            place._replace(frame=jnp.maximum(place.frame - width, 0)),
            deterministic=deterministic,
        )
        sample = mean + std * noise
        momentum = self.config.momentum
        latent = choose(sample, momentum * state.latent + (1 - momentum) * sample)
        # The first window's memory is z only, repeated: attention over w equal tokens gives their common value.
        tokens = interpolate_latents(choose(latent, state.latent), latent, width)
        start = jnp.zeros_like(place.frame) if self.config.past == "window" else place.frame
        number = start[:, None] + jnp.arange(width)[None, :]
        number = number if offset is None else number + offset[:, None]
        queries = self.reaction_decoder(tokens, number, deterministic=deterministic)
        seen = speaker
        if self.config.sync_memory == "previous":
            seen = speaker.after(Speaker(state.speech, state.motion))
        coefficients = self.synchroniser(
            queries, seen.speech, seen.motion, visible, first=first, deterministic=deterministic
        )
        after = ListenerState(coefficients, speaker.speech, speaker.motion, latent, rings)
        return after, Reaction(at_boundary(coefficients), mean, std)
