"""Drawing the next chunk, and the loss that teaches it: flow matching, or a mixture of normal distributions.

Flow matching (Lipman et al., "Flow matching for generative modeling", 2023), on straight lines from noise e to a chunk
x: at time t the network sees (1 - t) e + t x and gives the mean of x. A step of length d from there moves by
d / (1 - t) towards it; the last step ends on it, so that no noise is left.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from reactface_jax.methods.listener.config import ListenerSizes


def loss(
    network: Any,
    params: PyTree,
    key: Key[Array, ""],
    target: Float[Array, "B K N FR"],
    condition: Float[Array, "B K N D"],
    last: Float[Array, "B K N R"],
    weight: Float[Array, " FR"],
    draws: int,
) -> Float[Array, ""]:
    """What is to be made small; per number of a chunk."""
    variables = {"params": params}
    if network.sizes.head == "mixture":
        logits, mean, log_std = network.apply(variables, condition, last, method="mixture")
        z = (target[..., None, :] - mean) * jnp.exp(-log_std)
        log_density = jax.nn.log_softmax(logits) - (0.5 * jnp.square(z) + log_std).sum(-1)
        return -jax.nn.logsumexp(log_density, axis=-1).mean() / target.shape[-1]
    noise_key, time_key = jax.random.split(key)
    shape = (draws, *target.shape)
    noise = jax.random.normal(noise_key, shape, jnp.float32)
    time = jax.random.uniform(time_key, (*shape[:-1], 1), jnp.float32)
    noisy = (1 - time) * noise + time * target[None]
    projected = network.apply(variables, condition, method="project")
    found = network.apply(
        variables,
        noisy,
        time,
        projected[None],
        last[None],
        method="denoise",
    )
    return (jnp.broadcast_to(weight, found.shape) * jnp.square(found - target[None])).mean()


def draw(
    network: Any,
    params: PyTree,
    key: Key[Array, ""],
    conditions: Float[Array, "G *B D"],
    last: Float[Array, "*B R"],
    temperature: Float[Array, ""] | float,
    guidance: Float[Array, ""] | float,
    steps: int,
) -> Float[Array, "*B FR"]:
    """The next chunk.

    Args:
        network: a `ListenerNetwork`, whose head draws.
        params: its parameters.
        key: of the noise.
        conditions: with the speaker seen (G = 1), and with the speaker hidden (G = 2), which guidance needs.
        last: the own frame before the chunk.
        temperature: factor of the noise.
        guidance: 1 is none; what the speaker changes is multiplied by it.
        steps: of the flow.
    """
    variables: dict[str, Any] = {"params": params}
    sizes: ListenerSizes = network.sizes
    shape = (*last.shape[:-1], sizes.chunk * sizes.components)
    if sizes.head == "mixture":
        which, noise_key = jax.random.split(key)
        logits, mean, log_std = network.apply(variables, conditions[0], last, method="mixture")
        chosen = jax.random.categorical(which, logits)[..., None, None]
        mean, log_std = (jnp.take_along_axis(x, chosen, axis=-2)[..., 0, :] for x in (mean, log_std))
        return mean + temperature * jnp.exp(log_std) * jax.random.normal(noise_key, shape, jnp.float32)
    x = temperature * jax.random.normal(key, shape, jnp.float32)
    projected = network.apply(variables, conditions, method="project")

    def flow(step: Int[Array, ""], x: Float[Array, "*B FR"]) -> Float[Array, "*B FR"]:
        time = jnp.full((1,) * projected.ndim, step / steps, jnp.float32)
        found = network.apply(variables, x[None], time, projected, last[None], method="denoise")
        aim = found[0] if conditions.shape[0] == 1 else found[1] + guidance * (found[0] - found[1])
        return x + (aim - x) / (steps - step)

    drawn: Float[Array, "*B FR"] = jax.lax.fori_loop(0, steps, flow, x)
    return drawn
