"""The network of RLHG: a two-layer LSTM from what is seen and heard of the speaker to the listener's next frame.

Zhou et al., "Responsive Listening Head Generation: A Benchmark Dataset and Baseline" (ECCV 2022). Everything is
standardised. Letters: C channels of a face, A audio features, H LSTM width.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.ops.linear import kernel_initializer, uniform_within

NUM_LAYERS = 2
_NORM_EPSILON = 1e-5


class LstmState(NamedTuple):
    """Hidden states and cells of the layers, from the input up."""

    hidden: tuple[Float[Array, "B H"], ...]
    cell: tuple[Float[Array, "B H"], ...]


class ZhouNetwork(nn.Module):
    """A frame of the speaker gives the listener's next frame; own frames are not fed back."""

    channels: int = 58
    audio_features: int = 82
    input_width: int = 192
    width: int = 96
    dropout: float = 0.1

    def setup(self) -> None:
        features = self.channels + self.audio_features
        self.first_norm = nn.LayerNorm(_NORM_EPSILON)
        self.first_linear = _dense(self.channels, self.channels)
        self.first_state = _dense(2 * NUM_LAYERS * self.width, self.channels)
        self.speaker_norm = nn.LayerNorm(_NORM_EPSILON)
        self.speaker_linear = _dense(self.input_width, features)
        start = uniform_within(self.width**-0.5)
        widths = (self.input_width, *[self.width] * (NUM_LAYERS - 1))
        self.input_kernels = [
            self.param(f"input_{i}", start, (width, 4 * self.width)) for i, width in enumerate(widths)
        ]
        self.hidden_kernels = [
            self.param(f"hidden_{i}", start, (self.width, 4 * self.width)) for i in range(NUM_LAYERS)
        ]
        self.drop = nn.Dropout(self.dropout)
        self.out = _dense(self.channels, self.width)

    def start(self, first: Float[Array, "B C"]) -> LstmState:
        """The state before a conversation, of the listener's face at its first frame."""
        state = self.first_state(nn.tanh(self.first_linear(self.first_norm(first))))
        parts = jnp.split(state, 2 * NUM_LAYERS, axis=-1)
        return LstmState(tuple(parts[:NUM_LAYERS]), tuple(parts[NUM_LAYERS:]))

    def __call__(
        self,
        audio: Float[Array, "B T A"],
        speaker: Float[Array, "B T C"],
        state: LstmState,
        *,
        deterministic: bool = True,
    ) -> tuple[LstmState, Float[Array, "B T H"]]:
        """The state after the last frame, and what `frames` makes the next frame of, at every frame."""
        x = nn.tanh(self.speaker_linear(self.speaker_norm(jnp.concatenate([audio, speaker], axis=-1))))
        hidden, cell = [], []
        for layer in range(NUM_LAYERS):
            if layer > 0:
                x = self.drop(x, deterministic=deterministic)
            kernel = self.hidden_kernels[layer]

            def step(
                carry: tuple[Array, Array], gates: Array, kernel: Array = kernel
            ) -> tuple[tuple[Array, Array], Array]:
                h, c = carry
                i, f, g, o = jnp.split(gates + h @ kernel, 4, axis=-1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            gates = jnp.moveaxis(x @ self.input_kernels[layer], 1, 0)
            (h, c), states = jax.lax.scan(step, (state.hidden[layer], state.cell[layer]), gates)
            x = jnp.moveaxis(states, 0, 1)
            hidden.append(h)
            cell.append(c)
        return LstmState(tuple(hidden), tuple(cell)), x

    def frames(self, hidden: Float[Array, "B T H"]) -> Float[Array, "B T C"]:
        """At frame t, the listener's frame t + 1."""
        frames: Array = self.out(hidden)
        return frames

    def everything(self, audio: Float[Array, "B T A"], speaker: Float[Array, "B T C"]) -> None:
        """Touches all parameters, for `init`."""
        _, hidden = self(audio, speaker, self.start(speaker[:, 0]))
        self.frames(hidden)


def _dense(features: int, inputs: int) -> nn.Dense:
    return nn.Dense(features, kernel_init=kernel_initializer(), bias_init=uniform_within(inputs**-0.5))
