"""The 82 numbers of the speaker's sound in a frame: cepstra with deltas, loudness, zero crossings."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.methods.features import SPEECH_LEVEL
from reactface_jax.methods.features.kaldi_mfcc import kaldi_mfcc, with_deltas
from reactface_jax.methods.features.rms_zcr import released_rms_zcr, rms_zcr
from reactface_jax.types import AnyArray

NUM_FEATURES = 82


def heard(frames: Float[AnyArray, "*B S"], *, released: bool = False) -> Float[Array, "*B 82"]:
    """Of frames of 640 samples of unit variance, which count as `SPEECH_LEVEL`.

    That level matters for the cepstra's floors, as it does in the original: a window of less than the file's mean power
    has a log energy of 0. `released`: loudness and crossings of the whole frame, each twice.
    """
    frames = SPEECH_LEVEL * jnp.asarray(frames)
    of_level = released_rms_zcr(frames) if released else rms_zcr(frames)
    return jnp.concatenate([with_deltas(kaldi_mfcc(frames)), of_level], axis=-1)
