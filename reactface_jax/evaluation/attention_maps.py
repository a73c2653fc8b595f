"""Where the listener looks: attention of VIM (the speaker's face) and MIM (his speech) within a window.

The weights are those that the model itself computes, averaged over heads, windows and clips: the paper's Figure 9.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from reactface_jax.models.build import build_model
from reactface_jax.models.precision import products
from reactface_jax.models.reactface import ReactFace, trim
from reactface_jax.models.speaker_encoder import SpeakerFeatures
from reactface_jax.types import SAMPLES_PER_FRAME, SPEECH_RATIO, AnyArray

WINDOWS = (8, 64)
"""Frames: what the reference evaluates and trains with."""
MAX_FRAMES = 128
"""Of a clip, or of one window where that is longer: the past's attention is computed too and grows with its square."""

_LAYERS: dict[Literal["VIM", "MIM"], str] = {"VIM": "motion_decoder", "MIM": "speech_decoder"}
_RATIOS = {"VIM": 1, "MIM": SPEECH_RATIO}


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one interaction in windows of one length."""

    method: str
    """Whose: the row's name."""
    interaction: Literal["VIM", "MIM"]
    window: int
    """Frames."""
    weights: Float[np.ndarray, "F M"]
    """From the window's listener frames to the speaker's memory, each row's sum is 1: as many frames for VIM, twice as
    many of speech for MIM, after those of the window before where `model.sync_memory` is "previous". Clips shorter than
    the window show what they fill."""


def windows_of(model: ReactFace, wanted: Sequence[int] = WINDOWS) -> list[int]:
    """The window lengths nearest to those wanted, from below where there is one, that the model can react in."""
    unit = model.config.block if model.config.causal else model.config.period
    return sorted({max(unit, window // unit * unit) for window in wanted})


def attention_maps(
    model: ReactFace,
    params: PyTree,
    video: Float[AnyArray, "B T H W 3"],
    audio: Float[AnyArray, "B L"],
    key: Key[Array, ""],
    windows: Sequence[int] | None = None,
    method: str = "ReactFace",
) -> Iterator[AttentionMap]:
    """Runs the clip protocol in windows of every length, and yields VIM's and MIM's attention where the model has them.

    Args:
      model: from `build_model`; its parameters do not depend on the window.
      params: its parameters.
      video: the speakers' frames in [-1, 1].
      audio: their voices at 16 kHz.
      key: of the reactions' noise.
      windows: frames; `windows_of(model)` by default.
      method: the name that the maps carry.
    """
    windows = windows_of(model) if windows is None else windows
    video, audio = trim(jnp.asarray(video), jnp.asarray(audio))
    longest = max(MAX_FRAMES, *windows)
    video, audio = video[:, :longest], audio[:, : longest * SAMPLES_PER_FRAME]
    features: SpeakerFeatures = _encode(model, params, video, audio)
    for window in windows:
        resized = build_model(dataclasses.replace(model.config, window=window))
        frames = max(window, video.shape[1] // window * window)  # whole windows, where there is one
        cut = jax.tree.map(lambda x, frames=frames: x[:, : frames * math.ceil(x.shape[1] / video.shape[1])], features)
        noise = jax.random.normal(key, (len(video), 1, frames // window, model.config.feature_dim))
        seen = min(window, video.shape[1])
        found = _weights(resized, params, cut, noise)
        for interaction in _LAYERS:
            if interaction in found:
                weights = np.asarray(found[interaction], np.float32)
                before = weights.shape[1] - _RATIOS[interaction] * window
                yield AttentionMap(method, interaction, window, weights[:seen, : before + _RATIOS[interaction] * seen])


@functools.partial(jax.jit, static_argnums=0)
def _encode(model: ReactFace, params: PyTree, video: Array, audio: Array) -> Any:
    with products(model.config, training=False):
        return model.apply({"params": params}, video, audio, method="encode")


@functools.partial(jax.jit, static_argnums=0)
def _weights(model: ReactFace, params: PyTree, features: Any, noise: Array) -> dict[Literal["VIM", "MIM"], Array]:
    with products(model.config, training=False):
        _, sown = model.apply({"params": params}, features, noise, method="react_to_clip", mutable=["attention"])
    synchroniser = sown["attention"]["listener"]["synchroniser"]
    found = {
        name: synchroniser[layer]["cross_attention"]["weights"][0]
        for name, layer in _LAYERS.items()
        if layer in synchroniser
    }
    # N B K h F M; the causal model does a single window without a loop, and without N.
    return {name: x.astype(jnp.float32).mean(tuple(range(x.ndim - 2))) for name, x in found.items()}
