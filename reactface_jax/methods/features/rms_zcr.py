"""Loudness (root mean square) and zero-crossing rate of each video frame's sound by itself."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.methods.features.kaldi_mfcc import window_size
from reactface_jax.methods.features.windows import in_windows
from reactface_jax.types import SAMPLE_RATE, AnyArray

_ZERO = 1e-10
"""Samples up to it count as 0."""
_RELEASED_LENGTH, _RELEASED_HOP = 2048, 512


def rms_zcr(frames: Float[AnyArray, "*B S"], rate: int = SAMPLE_RATE) -> Float[Array, "*B F"]:
    """Of each of a frame's windows of 25 ms the root mean square, then of each the crossings a sample."""
    windows = in_windows(frames, window_size(rate), rate // 100)
    return jnp.concatenate([jnp.sqrt(jnp.square(windows).mean(-1)), _crossings(windows) / windows.shape[-1]], axis=-1)


def released_rms_zcr(frames: Float[AnyArray, "*B S"], rate: int = SAMPLE_RATE) -> Float[Array, "*B F"]:
    """As the RLHG's code has them: windows every 512 samples (2 at 16 kHz), longer than a frame, silence around it.

    Root mean squares of 2048 samples, and crossings of a whole second; so at 16 kHz both are the frame's own, twice.
    """
    frames = jnp.asarray(frames)
    around = [(0, 0)] * (frames.ndim - 1) + [(_RELEASED_LENGTH // 2, _RELEASED_LENGTH // 2)]
    windows = in_windows(jnp.pad(frames, around), _RELEASED_LENGTH, _RELEASED_HOP)
    crossings = _crossings(frames)[..., None] / rate
    return jnp.concatenate(
        [jnp.sqrt(jnp.square(windows).mean(-1)), jnp.repeat(crossings, windows.shape[-2], -1)], axis=-1
    )


def _crossings(x: Float[Array, "*B S"]) -> Float[Array, "*B"]:
    """How often the sign changes; 0 is positive."""
    negative = x < -_ZERO
    return jnp.sum(negative[..., 1:] != negative[..., :-1], axis=-1).astype(jnp.float32)
