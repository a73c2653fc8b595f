"""The network of "Let's Face It": what is known at a frame, and the flow that a frame is drawn with.

Jonell et al., "Let's Face It: Probabilistic multi-modal interlocutor-aware generation of facial gestures in dyadic
settings" (IVA 2020). Everything is standardised. Letters: C channels, S speech features, P own history, Q what is known
of the other person, Z condition, H hidden; a sequence of T frames starts with `context` frames that are not answered,
N = T - context.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.methods.lfi.flow_step import FlowStep
from reactface_jax.methods.lfi.recurrent import Gru

OWN_SPEECH_WIDTH, OWN_SPEECH_WINDOW = 128, 2


class Keep(NamedTuple):
    """What multiplies each frame of each window that is seen; see `Gru.over_windows`."""

    face: Float[Array, "B N W"]
    speech: Float[Array, "B N W2"]


class LfiNetwork(nn.Module):
    """All parts; each method is one of them."""

    channels: int = 58
    speech_features: int = 30
    history: int = 5
    face_window: int = 24
    speech_window: int = 16
    face_width: int = 256
    speech_width: int = 256
    flow_steps: int = 16
    condition_width: int = 512
    hidden_width: int = 128
    own_speech: bool = False
    """The original sees what it says itself, too."""
    released: bool = False
    """The release's log-determinants."""

    def setup(self) -> None:
        self.face_encoder = Gru(self.channels, self.face_width)
        self.speech_encoder = Gru(self.speech_features, self.speech_width)
        other_size = 2 * (self.face_width + self.speech_width)
        if self.own_speech:
            self.own_speech_encoder = Gru(self.speech_features, OWN_SPEECH_WIDTH)
            other_size += 2 * OWN_SPEECH_WIDTH
        self.steps = [
            FlowStep(
                self.channels,
                self.history * self.channels,
                other_size,
                self.condition_width,
                self.hidden_width,
                self.released,
                name=f"step_{index}",
            )
            for index in range(self.flow_steps)
        ]

    @property
    def context(self) -> int:
        """Frames before the first one that is answered."""
        return max(self.history, self.face_window, self.speech_window)

    def start_hidden(self, *batch: int) -> Float[Array, "M *B H"]:
        """State of each of M flow steps before a sequence."""
        return jnp.zeros((self.flow_steps, *batch, self.hidden_width))

    def other(
        self,
        face: Float[Array, "B T C"],
        speech: Float[Array, "B T S"],
        own_speech: Float[Array, "B T S"] | None = None,
        keep: Keep | None = None,
    ) -> Float[Array, "B N Q"]:
        """What is known of the other person at each frame after the context, that frame included."""
        context = self.context

        def seen(encoder: Gru, x: Array, window: int, kept: Array | None) -> Array:
            return encoder.over_windows(x[:, context - window + 1 :], window, kept)

        parts = [seen(self.face_encoder, face, self.face_window, None if keep is None else keep.face)]
        if self.own_speech:
            own_speech = jnp.zeros_like(speech) if own_speech is None else own_speech
            parts.append(seen(self.own_speech_encoder, own_speech, OWN_SPEECH_WINDOW, None))
        parts.append(seen(self.speech_encoder, speech, self.speech_window, None if keep is None else keep.speech))
        return jnp.concatenate(parts, axis=-1)

    def own(self, face: Float[Array, "B T C"]) -> Float[Array, "B N P"]:
        """Own history of each frame after the context: the frames before it, the latest last."""
        first = self.context - self.history
        count = face.shape[1] - self.context
        return jnp.concatenate([face[:, first + i : first + i + count] for i in range(self.history)], axis=-1)

    def forward(
        self, face: Float[Array, "B T C"], other: Float[Array, "B N Q"]
    ) -> tuple[Float[Array, "B N C"], Float[Array, "B N"]]:
        """The listener's own frames after the context as noise, and log-determinants."""
        own, x = self.own(face), face[:, self.context :]
        log_determinant = jnp.zeros(x.shape[:2])
        for step, hidden in zip(self.steps, self.start_hidden(len(x)), strict=True):
            x, change, _ = step.forward(x, own, other, hidden)
            log_determinant += change
        return x, log_determinant

    def measured_actnorms(
        self, face: Float[Array, "B T C"], other: Float[Array, "B N Q"]
    ) -> dict[str, dict[str, Float[Array, " C"]]]:
        """Parameters of each step's actnorm that give its first frame after the context mean 0 and deviation 1."""
        own, x = self.own(face)[:, :1], face[:, self.context, None]
        found = {}
        for index, (step, hidden) in enumerate(zip(self.steps, self.start_hidden(len(x)), strict=True)):
            bias, logs = -x.mean((0, 1)), -jnp.log(x.std((0, 1)) + 1e-6)
            found[f"step_{index}"] = {"actnorm_bias": bias, "actnorm_logs": logs}
            x = (x + jnp.broadcast_to(bias, x.shape)) * jnp.broadcast_to(jnp.exp(logs), x.shape)
            x, _, _ = step.from_normalised(x, own, other[:, :1], hidden)
        return found

    def project(self, other: Float[Array, "B N Q"]) -> Float[Array, "M B N Z"]:
        """What each flow step takes of the other person: once for all reactions."""
        return jnp.stack([step.project(other) for step in self.steps])

    def inverse_weights(self) -> Float[Array, "M C C"]:
        """Of the linear maps: once for all frames."""
        return jnp.stack([step.inverse_weight() for step in self.steps])

    def draw(
        self,
        noise: Float[Array, "B K C"],
        history: Float[Array, "B K P"],
        projected: Float[Array, "M B K Z"],
        hidden: Float[Array, "M B K H"],
        inverse_weights: Float[Array, "M C C"],
    ) -> tuple[Float[Array, "B K C"], Float[Array, "M B K H"]]:
        """The next frame of each reaction, and the next states.

        Args:
          noise: of the standard normal distribution.
          history: own frames before, the latest last.
          projected: from `project`, of this frame.
          hidden: states.
          inverse_weights: from `inverse_weights`.
        """
        x, states = noise, []
        for index in reversed(range(self.flow_steps)):
            x, state = self.steps[index].inverse(x, history, projected[index], hidden[index], inverse_weights[index])
            states.append(state)
        return x, jnp.stack(states[::-1])

    def everything(self, face: Float[Array, "B T C"], speech: Float[Array, "B T S"]) -> None:
        """Touches all parameters, for `init`."""
        self.forward(face, self.other(face, speech))
