"""A listener who has come off its rest and stays there is led back.

It feeds on its own motion, and in training nobody is askew for longer than a moment. So once its head's angles had run,
by chance, to the limits of what training had seen, nothing led them back: within an hour every third reaction of one
that also talks sat askew and blinked half as often. Here a component whose running mean is further from rest than
people's are is moved towards it, little by little.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.types import FRAME_RATE

_MEMORY = 20 * FRAME_RATE
"""Frames of the running mean."""
_FAR = 1.0
"""Standard deviations of a component. About 1 % of the listeners in training have a mean over 10 s beyond it."""
_SHARE = 0.3
"""Of what is beyond `_FAR`, taken away in each chunk."""


def upright(
    chunk: Float[Array, "B K FR"], lean: Float[Array, "B K R"], frames: int
) -> tuple[Float[Array, "B K FR"], Float[Array, "B K R"]]:
    """The next chunk, nearer to rest where it is needed, and the running mean after it.

    Args:
        chunk: as it was drawn; components have variance 1 and are 0 at rest.
        lean: the running mean before it.
        frames: of the chunk.
    """
    by_frame = chunk.reshape(*lean.shape[:-1], frames, lean.shape[-1])
    mean = by_frame.mean(axis=-2)
    lean = lean + frames / _MEMORY * (mean - lean)
    beyond = mean - jnp.clip(mean, -_FAR, _FAR)
    pull = jnp.where(lean * jnp.sign(beyond) > _FAR, _SHARE * beyond, 0.0)
    ramp = jnp.arange(1, frames + 1, dtype=jnp.float32)[:, None] / frames  # no step where chunks meet
    led = by_frame - ramp[None, None] * pull[..., None, :]
    return led.reshape(chunk.shape), lean
