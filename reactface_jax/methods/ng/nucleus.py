"""Nucleus sampling: Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def nucleus_probabilities(logits: Float[Array, "*B V"], temperature: float, nucleus: float) -> Float[Array, "*B V"]:
    """The likeliest codes whose probabilities add up to `nucleus`, the one that passes it among them; 0 elsewhere."""
    probabilities = jax.nn.softmax(logits / temperature)
    order = jnp.argsort(-probabilities, axis=-1)
    ranked = jnp.take_along_axis(probabilities, order, axis=-1)
    before = jnp.cumsum(ranked, axis=-1) - ranked
    ranked = jnp.where(before <= nucleus, ranked, 0)
    kept = jnp.take_along_axis(ranked, jnp.argsort(order, axis=-1), axis=-1)
    return kept / kept.sum(-1, keepdims=True)
