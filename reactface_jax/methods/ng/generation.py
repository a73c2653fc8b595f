"""Reactions code by code: every 8 frames the next one is drawn, and every four are decoded to 32 frames.

So a block is decoded from four codes that were each predicted as the first of a block, as the original does. With
`draw` "block" the four are drawn together every 32 frames, as they are predicted in training; the speaker is then seen
to the eighth of those frames only.

Letters: B clips, K reactions, N codes, C channels, D width of a token.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from reactface_jax.config.ng import NgConfig
from reactface_jax.methods.ng.log_mel import STEPS_A_FRAME
from reactface_jax.methods.ng.nucleus import nucleus_probabilities
from reactface_jax.methods.ng.predictor import SPEAKER_FRAMES
from reactface_jax.methods.ng.vqvae import FRAMES, FRAMES_A_CODE, STEPS


def generate(
    vqvae: Callable[..., Any],
    predictor: Callable[..., Any],
    motion: Float[Array, "B T C"],
    sound: Float[Array, "B S F"],
    keys: Key[Array, "B K"],
    draw: NgConfig,
) -> Float[Array, "B K T C"]:
    """Standardised reactions. 32 mean frames stand before the speaker, so that frame 0 is answered.

    Args:
      vqvae: applies the VQ-VAE; `method=` chooses.
      predictor: applies the predictor, likewise.
      motion: the speaker's coefficients, smoothed and standardised.
      sound: the speaker's log-mel energies, standardised, S = 4 T.
      keys: of each reaction.
      draw: how many codes at once, temperature, nucleus and `released`.
    """
    batch, frames, channels = motion.shape
    reactions = keys.shape[1]
    count = STEPS * -(-frames // FRAMES)  # N
    at_once = STEPS if draw.draw == "block" else 1
    speaker = jnp.moveaxis(_speaker_tokens(predictor, motion, sound, count, draw.released), 1, 0)  # N B 5 D
    flat_keys = keys.reshape(-1)
    past = vqvae(jnp.zeros((1, FRAMES, channels)), method="to_codes")
    past = jnp.broadcast_to(past, (batch * reactions, STEPS))

    def step(past: Array, given: tuple[Array, Array]) -> tuple[Array, Int[Array, "BK n"]]:
        number, tokens = given
        seen = vqvae(vqvae(past, method="from_codes"), method="to_codes") if draw.released else past
        tokens = jnp.repeat(tokens, reactions, axis=0)
        logits = predictor(seen, jnp.minimum(number, STEPS), tokens, method="predict")[:, :at_once]
        probabilities = nucleus_probabilities(logits, draw.temperature, draw.nucleus)
        code_keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(flat_keys)
        codes = jax.vmap(jax.random.categorical)(code_keys, jnp.log(probabilities)).astype(past.dtype)
        return jnp.concatenate([past, codes], axis=1)[:, -STEPS:], codes

    _, codes = jax.lax.scan(step, past, (jnp.arange(0, count, at_once), speaker[::at_once]))
    codes = jnp.moveaxis(codes, 0, 1)  # BK N/n n
    blocks = vqvae(codes.reshape(-1, STEPS), method="from_codes")
    return blocks.reshape(batch, reactions, -1, channels)[:, :, :frames]


def _speaker_tokens(
    predictor: Callable[..., Any],
    motion: Float[Array, "B T C"],
    sound: Float[Array, "B S F"],
    count: int,
    released: bool,
) -> Float[Array, "B N 5 D"]:
    """What the speaker does before and during each code; no reaction changes it."""
    batch, frames, _ = motion.shape
    after = count * FRAMES_A_CODE - frames
    motion = jnp.pad(motion, [(0, 0), (FRAMES, after), (0, 0)])
    sound = jnp.pad(sound, [(0, 0), (STEPS_A_FRAME * FRAMES, STEPS_A_FRAME * after), (0, 0)])
    first = FRAMES_A_CODE * jnp.arange(count)[:, None]
    seen = motion[:, first + jnp.arange(SPEAKER_FRAMES)[None]]
    # The release takes a number of frames for a number of steps.
    first_heard = first if released else STEPS_A_FRAME * first
    heard = sound[:, first_heard + jnp.arange(STEPS_A_FRAME * SPEAKER_FRAMES)[None]]
    tokens = predictor(seen.reshape(-1, *seen.shape[2:]), heard.reshape(-1, *heard.shape[2:]), method="speaker")
    return tokens.reshape(batch, count, *tokens.shape[1:])
