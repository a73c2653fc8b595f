"""The listener's network: who speaks, what I did, and what I may do in the next chunk.

Letters: B clips or conversations, K reactions, N chunks of `chunk` frames, R components of a frame, Z style, H widths.
What is seen of the speaker is computed once and serves all K reactions.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.methods.listener.config import ListenerSizes
from reactface_jax.methods.listener.recurrent import Recurrent
from reactface_jax.methods.listener.speaker_features import NUM_FEATURES


class ListenerNetwork(nn.Module):
    """All parts; each method is one of them."""

    sizes: ListenerSizes

    def setup(self) -> None:
        sizes = self.sizes
        self.see = nn.Dense(sizes.speaker_width)
        self.follow = Recurrent(sizes.speaker_width)
        self.remember = Recurrent(sizes.own_width)
        self.style_frame = nn.Dense(128)
        self.style_clip = nn.Dense(128)
        self.style_out = nn.Dense(sizes.style_width)
        self.expect_hidden = nn.Dense(sizes.head_width)
        self.expect_out = nn.Dense(2 * sizes.chunk * sizes.components)
        self.gather = nn.Dense(sizes.head_width)
        self.head: Any = MixtureHead(sizes) if sizes.head == "mixture" else FlowHead(sizes)

    def start_speaker(self, batch_size: int) -> Float[Array, "B H"]:
        """State of a conversation that has not begun."""
        return jnp.zeros((batch_size, self.sizes.speaker_width), jnp.float32)

    def start_own(self, *batch: int) -> Float[Array, "*B H"]:
        return jnp.zeros((*batch, self.sizes.own_width), jnp.float32)

    def start_ahead(self, batch_size: int) -> Float[Array, "B FR"]:
        """What `expectation` expected of the first chunk: a face at rest."""
        return jnp.zeros((batch_size, self.sizes.chunk * self.sizes.components), jnp.float32)

    def speaker(
        self, features: Float[Array, "B T G"], hidden: Float[Array, "B H"]
    ) -> tuple[Float[Array, "B N S"], Float[Array, "B H"]]:
        """What is known of the speaker at the end of each chunk, S = 2 widths; and the state after the last."""
        batch, frames, _ = features.shape
        chunks = features.reshape(batch, frames // self.sizes.chunk, self.sizes.chunk * NUM_FEATURES)
        seen = nn.gelu(self.see(chunks))
        states, hidden = self.follow(seen, hidden)
        return jnp.concatenate([seen, states], axis=-1), hidden

    def expectation(
        self, speaker: Float[Array, "B N S"], talks: Float[Array, " B"], ahead: Float[Array, "B FR"]
    ) -> tuple[Float[Array, "B N FR"], Float[Array, "B FR"]]:
        """Mean of all appropriate listeners in each chunk, whatever the own past and the style.

        A chunk is expected twice, when the one before it has been seen and when it has been seen itself, and fades from
        the one mean to the other. So what a chunk shows of the speaker comes in bit by bit, and not as a step.

        Args:
            speaker: from `speaker`.
            talks: 1 where the listener may take the floor.
            ahead: what was expected of the first chunk when the one before it had been seen.

        Returns:
            The means, and what is expected of the chunk that follows.
        """
        sizes = self.sizes
        talks = jnp.broadcast_to(talks[:, None, None], (*speaker.shape[:2], 1))
        both = self.expect_out(nn.gelu(self.expect_hidden(jnp.concatenate([speaker, talks], axis=-1))))
        now, after = jnp.split(both, 2, axis=-1)
        before = jnp.concatenate([ahead[:, None], after[:, :-1]], axis=1)
        share = jnp.repeat(jnp.arange(1, sizes.chunk + 1, dtype=jnp.float32) / (sizes.chunk + 1), sizes.components)
        return before + share[None, None] * (now - before), after[:, -1]

    def style(self, clip: Float[Array, "B N FR"]) -> Float[Array, "B Z"]:
        """How someone listens, in numbers between -1 and 1, from a clip of that person's own motion."""
        frames = nn.gelu(self.style_frame(clip))
        pooled = jnp.concatenate([frames.mean(1), frames.max(1), jnp.square(clip).mean(1), clip.mean(1)], axis=-1)
        return jnp.tanh(self.style_out(nn.gelu(self.style_clip(pooled))))

    def condition(
        self,
        speaker: Float[Array, "B #K N S"],
        past: Float[Array, "B K N FR"],
        hidden: Float[Array, "B K H"],
        style: Float[Array, "B K Z"],
        talks: Float[Array, "B"],
        noise_level: Float[Array, "B"],
    ) -> tuple[Float[Array, "B K N D"], Float[Array, "B K H"]]:
        """All that a chunk depends on, from the chunk before it.

        Args:
            speaker: from `speaker`.
            past: the own chunk before each chunk.
            hidden: state of the own memory.
            style: of each reaction.
            talks: 1 where the listener may take the floor, 0 where it only listens.
            noise_level: standard deviation of the noise on `past`.
        """
        shape = past.shape[:3]
        flags = jnp.stack([talks, 3.0 * noise_level], axis=-1)[:, None, None]
        flags = jnp.broadcast_to(flags, (*shape, 2))
        style = jnp.broadcast_to(style[:, :, None], (*shape, style.shape[-1]))
        own, hidden = self.remember(jnp.concatenate([past, style, flags], axis=-1), hidden)
        speaker = jnp.broadcast_to(speaker, (*shape, speaker.shape[-1]))
        gathered = self.gather(jnp.concatenate([speaker, own, past, style, flags], axis=-1))
        return nn.gelu(gathered), hidden

    def project(self, condition: Float[Array, "*B D"]) -> Float[Array, "*B P"]:
        """What `denoise` takes of a condition, once for all times and noises."""
        projected: Array = self.head.project(condition)
        return projected

    def denoise(
        self,
        noisy: Float[Array, "... FR"],
        time: Float[Array, "... 1"],
        projected: Float[Array, "... P"],
        last: Float[Array, "... R"],
    ) -> Float[Array, "... FR"]:
        """Flow matching: the chunk that a noisy one comes from, on average. Axes of size 1 serve all."""
        clean: Array = self.head(noisy, time, projected, last)
        return clean

    def mixture(self, condition: Float[Array, "*B D"], last: Float[Array, "*B R"]) -> tuple[Array, Array, Array]:
        """Logits [*B, M], means and log standard deviations [*B, M, FR] of the next chunk."""
        mixture: tuple[Array, Array, Array] = self.head(condition, last)
        return mixture

    def everything(self, features: Array, past: Array, last: Array) -> None:
        """Touches all parameters, for `init`."""
        batch = features.shape[0]
        speaker, _ = self.speaker(features, self.start_speaker(batch))
        talks = jnp.zeros(batch, jnp.float32)
        self.expectation(speaker, talks, self.start_ahead(batch))
        style = self.style(past)
        condition, _ = self.condition(
            speaker[:, None], past[:, None], self.start_own(batch, 1), style[:, None], talks, talks
        )
        if self.sizes.head == "mixture":
            self.mixture(condition, last[:, None])
        else:
            time = jnp.zeros((*condition.shape[:-1], 1), jnp.float32)
            self.denoise(past[:, None], time, self.project(condition), last[:, None])


class FlowHead(nn.Module):
    """A residual multilayer perceptron from noisy chunk, time and condition to the clean chunk."""

    sizes: ListenerSizes

    def setup(self) -> None:
        sizes = self.sizes
        self.project = nn.Dense((1 + sizes.head_blocks) * sizes.head_width)
        self.noisy = nn.Dense(sizes.head_width)
        self.time = nn.Dense(sizes.head_blocks * sizes.head_width)
        self.norms = [nn.LayerNorm() for _ in range(sizes.head_blocks)]
        self.inner = [nn.Dense(sizes.head_width) for _ in range(sizes.head_blocks)]
        self.outer = [nn.Dense(sizes.head_width) for _ in range(sizes.head_blocks)]
        self.norm = nn.LayerNorm()
        self.change = nn.Dense(sizes.chunk * sizes.components)

    def __call__(self, noisy: Array, time: Array, projected: Array, last: Array) -> Array:
        """`projected` is `project` of the condition: the same for all times and noises of a chunk."""
        octaves = 2.0 ** jnp.arange(6, dtype=jnp.float32).reshape((1,) * (time.ndim - 1) + (6,))
        angles = time * (jnp.pi / 2 * octaves)
        at_time = jnp.split(
            self.time(jnp.concatenate([time, jnp.sin(angles), jnp.cos(angles)], axis=-1)), self.sizes.head_blocks, -1
        )
        first, *conditions = jnp.split(projected, 1 + self.sizes.head_blocks, -1)
        x = self.noisy(noisy) + first
        for block, condition in enumerate(conditions):
            inner = self.inner[block](self.norms[block](x)) + condition + at_time[block]
            x += self.outer[block](nn.gelu(inner))
        return self.change(self.norm(x)) + jnp.tile(last, self.sizes.chunk)


class MixtureHead(nn.Module):
    """A multilayer perceptron from the condition to a mixture of normal distributions with diagonal covariance."""

    sizes: ListenerSizes

    @nn.compact
    def __call__(self, condition: Array, last: Array) -> tuple[Array, Array, Array]:
        sizes = self.sizes
        x = condition
        for block in range(sizes.head_blocks):
            inner = nn.gelu(nn.Dense(sizes.head_width, name=f"in_{block}")(nn.LayerNorm(name=f"norm_{block}")(x)))
            x += nn.Dense(sizes.head_width, name=f"out_{block}")(inner)
        size = sizes.chunk * sizes.components
        shape = (*condition.shape[:-1], sizes.mixtures, size)
        mean = nn.Dense(sizes.mixtures * size, name="mean")(x).reshape(shape)
        log_std = nn.Dense(sizes.mixtures * size, name="log_std")(x).reshape(shape)
        mean += jnp.tile(last, sizes.chunk)[..., None, :]
        return nn.Dense(sizes.mixtures, name="logits")(x), mean, jnp.clip(log_std - 1.0, -5.0, 2.0)
