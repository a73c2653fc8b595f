"""The 30 speech features of "Let's Face It": 26 of cepstra.py, 4 of prosody.py."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.methods.features.cepstra import NUM_CEPSTRA, cepstra
from reactface_jax.methods.features.prosody import prosody
from reactface_jax.methods.features.windows import in_frames
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray

NUM_SPEECH_FEATURES = NUM_CEPSTRA + 4


def speech_features(
    audio: Float[AnyArray, "B L"], past: Float[AnyArray, "B S"] | None = None
) -> Float[Array, "B T 30"]:
    """Of each video frame, from its sound and that of the frame before.

    Args:
      audio: unit variance over the whole file, 640 samples a frame.
      past: the frame before the first; silence if None.
    """
    audio = jnp.asarray(audio)
    past = jnp.zeros((len(audio), SAMPLES_PER_FRAME)) if past is None else jnp.asarray(past)
    frames = in_frames(jnp.concatenate([past, audio], axis=1), SAMPLES_PER_FRAME)
    pairs = jnp.concatenate([frames[:, :-1], frames[:, 1:]], axis=-1)
    return jnp.concatenate([cepstra(pairs), prosody(pairs)], axis=-1)
