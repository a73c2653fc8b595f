"""The predictor: the next four codes of the listener from the past four and from 40 frames of the speaker.

Letters: B clips, D width of a token, V codes, C channels, F bands of sound.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.methods.ng.blocks import Block, Convolution, pool
from reactface_jax.methods.ng.log_mel import STEPS_A_FRAME
from reactface_jax.methods.ng.vqvae import FRAMES, FRAMES_A_CODE, STEPS
from reactface_jax.models.attention import layer_norm

SPEAKER_FRAMES = FRAMES + FRAMES_A_CODE
"""The past 32, and the 8 that the next code answers."""
SPEAKER_TOKENS = SPEAKER_FRAMES // 8
TOKENS = STEPS + SPEAKER_TOKENS
_INIT = nn.initializers.normal(0.02)


class Predictor(nn.Module):
    """Logits of the listener's codes."""

    num_codes: int
    width: int
    speaker_width: int
    num_heads: int
    feed_forward: int
    speaker_layers: int
    num_layers: int

    def setup(self) -> None:
        def positions(name: str, count: int, width: int) -> Array:
            return self.param(name, nn.initializers.zeros, (count, width))

        def blocks(count: int) -> Sequence[Block]:
            return [Block(self.num_heads, self.feed_forward, _INIT) for _ in range(count)]

        self.code_embedding = self.param("code_embedding", _INIT, (self.num_codes, self.width))
        self.code_positions = positions("code_positions", STEPS, self.width)
        self.sound_linear = nn.Dense(self.speaker_width, kernel_init=_INIT)
        self.sound_positions = positions("sound_positions", SPEAKER_FRAMES, self.speaker_width)
        self.motion_linear = nn.Dense(self.speaker_width, kernel_init=_INIT)
        self.motion_positions = positions("motion_positions", SPEAKER_FRAMES, self.speaker_width)
        self.fuse = blocks(self.speaker_layers)
        self.compress = [
            Convolution(self.speaker_width, stride=2),
            Convolution(self.speaker_width),
            Convolution(self.speaker_width),
        ]
        self.speaker_linear = nn.Dense(self.width, kernel_init=_INIT)
        self.joint_positions = positions("joint_positions", TOKENS, self.width)
        self.joint = blocks(self.num_layers)
        self.norm = layer_norm(jnp.float32, "norm")
        self.logits = nn.Dense(self.num_codes, use_bias=False, kernel_init=_INIT)

    def speaker(
        self, motion: Float[Array, "B 40 C"], sound: Float[Array, "B 160 F"], *, train: bool = False
    ) -> Float[Array, "B 5 D"]:
        """What the speaker does, in five tokens; the listener plays no part in it."""
        heard = self.sound_linear(pool(sound, STEPS_A_FRAME)) + self.sound_positions[None]
        x = self.motion_linear(motion) + self.motion_positions[None]
        for block in self.fuse:
            x = block(x, heard)
        first, *others = self.compress
        x = first(x, train=train)
        for convolution in others:
            x = pool(convolution(x, train=train), 2)
        return self.speaker_linear(x)

    def predict(
        self, past: Int[Array, "B 4"], kept: int | Int[Array, ""], speaker: Float[Array, "B 5 D"]
    ) -> Float[Array, "B 9 V"]:
        """Logits of each position; those of the first four are of the next four codes.

        Args:
          past: the listener's last four codes.
          kept: how many of them are known, the latest; it may be traced.
          speaker: from `speaker`.
        """
        known = jnp.arange(STEPS) >= STEPS - kept
        tokens = jnp.where(known[None, :, None], self.code_embedding[past], 0) + self.code_positions[None]
        x = jnp.concatenate([tokens, speaker], axis=1) + self.joint_positions[None]
        is_code = jnp.arange(TOKENS) < STEPS
        asks_codes = jnp.concatenate([known, jnp.ones(SPEAKER_TOKENS, bool)])
        visible = asks_codes[:, None] | ~is_code[None, :]
        for block in self.joint:
            x = block(x, visible=visible)
        return self.logits(self.norm(x))

    def __call__(
        self,
        past: Int[Array, "B 4"],
        kept: int | Int[Array, ""],
        motion: Float[Array, "B 40 C"],
        sound: Float[Array, "B 160 F"],
        *,
        train: bool = False,
    ) -> Float[Array, "B 9 V"]:
        """As `predict`, from the speaker's 40 frames.

        Args:
          past: the listener's last four codes.
          kept: how many of them are known.
          motion: the speaker's coefficients, standardised.
          sound: the speaker's log-mel energies, four steps a frame, standardised.
          train: BatchNorm takes the batch's moments, and keeps count of them.
        """
        return self.predict(past, kept, self.speaker(motion, sound, train=train))
