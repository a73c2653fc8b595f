"""The network that predicts a clean latent of the listener from a noisy one, the time and the speaker's latent.

Letters: B windows, Z latent.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from reactface_jax.models.attention import layer_norm
from reactface_jax.ops.linear import dense


class Denoiser(nn.Module):
    """A multilayer perceptron; every layer sees the noisy latent again, and all but the last the condition."""

    width: int
    hidden: int
    num_layers: int
    time_width: int

    @nn.compact
    def __call__(
        self, noisy: Float[Array, "B Z"], time: Int[Array, " B"], condition: Float[Array, "B Z"]
    ) -> Float[Array, "B Z"]:
        def embed(name: str, x: Array) -> Array:
            x = nn.silu(dense(self.width, jnp.float32, f"{name}_in")(x))
            return dense(self.width, jnp.float32, f"{name}_out")(x)

        seen = jnp.concatenate(
            [embed("time", sinusoids(time, self.time_width)), embed("condition", condition)], axis=-1
        )
        x = noisy
        for layer in range(self.num_layers - 1):
            x = dense(self.hidden, jnp.float32, f"linear_{layer}")(jnp.concatenate([x, noisy], axis=-1))
            x = x * (1 + dense(self.hidden, jnp.float32, f"condition_{layer}")(nn.silu(seen)))
            x = nn.silu(layer_norm(jnp.float32, f"norm_{layer}")(x))
        last = dense(noisy.shape[-1], jnp.float32, f"linear_{self.num_layers - 1}")
        return last(jnp.concatenate([x, noisy], axis=-1))


def sinusoids(time: Int[Array, " B"], width: int) -> Float[Array, "B E"]:
    """Cosines, then sines, of the time as it is (from 0 to the number of steps)."""
    half = width // 2
    rate = jnp.asarray(np.exp(-np.log(10_000.0) * np.arange(half) / half), jnp.float32)
    angle = time.astype(jnp.float32)[:, None] * rate[None]
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def cosine_betas(num_steps: int) -> np.ndarray:
    """Nichol & Dhariwal, "Improved denoising diffusion probabilistic models", 2021; float64, at most .999."""

    def level(time: float) -> float:
        return float(np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2)

    return np.array([min(1 - level((i + 1) / num_steps) / level(i / num_steps), 0.999) for i in range(num_steps)])


def remaining(num_steps: int) -> Float[Array, " S"]:
    """Share of the signal's variance that is left at each time."""
    return jnp.asarray(np.cumprod(1 - cosine_betas(num_steps)), jnp.float32)


def add_noise(
    latent: Float[Array, "B Z"], time: Int[Array, " B"], noise: Float[Array, "B Z"], num_steps: int
) -> Float[Array, "B Z"]:
    """A draw of the forward process."""
    left = remaining(num_steps)[time][:, None]
    return jnp.sqrt(left) * latent + jnp.sqrt(1 - left) * noise


def ddim_step(
    noisy: Float[Array, "B Z"], clean: Float[Array, "B Z"], time: Int[Array, ""], num_steps: int
) -> Float[Array, "B Z"]:
    """The latent at `time` - 1 (Song et al., "Denoising diffusion implicit models", 2021, eta 0).

    Args:
      noisy: the latent at `time`.
      clean: what the network predicts of it; cut to [-1, 1] here.
      time: from `num_steps` - 1 to 0; the same for all.
      num_steps: of the schedule.
    """
    left = remaining(num_steps)
    clean = jnp.clip(clean, -1.0, 1.0)
    noise = (noisy - jnp.sqrt(left[time]) * clean) / jnp.sqrt(1 - left[time])
    next_left = jnp.where(time > 0, left[jnp.maximum(time - 1, 0)], 1.0)
    return jnp.sqrt(next_left) * clean + jnp.sqrt(1 - next_left) * noise


def sample(
    denoise: Callable[[Array, Array], Array], noise: Float[Array, "B Z"], num_steps: int
) -> tuple[Float[Array, "B Z"], Float[Array, "S B Z"]]:
    """The latent that comes of a noise, and the latents after each step.

    Args:
      denoise: from a noisy latent [B, Z] and its times [B] to the clean latent.
      noise: all that is drawn.
      num_steps: of the schedule.
    """

    def step(noisy: Array, time: Array) -> tuple[Array, Array]:
        clean = denoise(noisy, jnp.full(len(noisy), time))
        noisy = ddim_step(noisy, clean, time, num_steps)
        return noisy, noisy

    return jax.lax.scan(step, noise, jnp.arange(num_steps - 1, -1, -1))
