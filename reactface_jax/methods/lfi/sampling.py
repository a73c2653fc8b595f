"""Reactions drawn from the flow, frame by frame, each frame fed back; K reactions are K streams of noise."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Drawn(NamedTuple):
    """What the next frame depends on, besides the other person; M flow steps."""

    history: Float[Array, "B K P"]
    hidden: Float[Array, "M B K H"]


def start(network: Any, batch_size: int, num_reactions: int) -> Drawn:
    """Mean faces as history, of an `LfiNetwork`."""
    history = jnp.zeros((batch_size, num_reactions, network.history * network.channels))
    return Drawn(history, network.start_hidden(batch_size, num_reactions))


def sample(
    network: Any,
    variables: Mapping[str, Any],
    state: Drawn,
    other: Float[Array, "B N Q"],
    noise: Float[Array, "B K N C"],
) -> tuple[Drawn, Float[Array, "B K N C"]]:
    """Draws N frames.

    Args:
      network: an `LfiNetwork`.
      variables: "params" and "fixed".
      state: from `start`, or of the frame before.
      other: `LfiNetwork.other` of the same frames.
      noise: standard normal.

    Returns:
      The state after the last frame, and the standardised frames.
    """
    projected = network.apply(variables, other, method="project")
    inverse_weights = network.apply(variables, method="inverse_weights")

    def step(state: Drawn, frame: tuple[Array, Array]) -> tuple[Drawn, Array]:
        noise, projected = frame
        projected = jnp.broadcast_to(projected[:, :, None], (*projected.shape[:2], noise.shape[1], projected.shape[-1]))
        x, hidden = network.apply(
            variables, noise, state.history, projected, state.hidden, inverse_weights, method="draw"
        )
        history = jnp.concatenate([state.history[..., network.channels :], x], axis=-1)
        return Drawn(history, hidden), x

    state, frames = jax.lax.scan(step, state, (jnp.moveaxis(noise, 2, 0), jnp.moveaxis(projected, 2, 0)))
    return state, jnp.moveaxis(frames, 0, 2)
