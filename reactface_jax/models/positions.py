"""Positional encodings and attention biases, all computed from frame numbers: no tables of fixed length."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from reactface_jax.types import AnyArray

Alignment = Literal["reference", "strict", "point_to_point"]

MASKED = -1e9
"""Added to a hidden logit; its exponential is exactly 0. Finite, so that a row with nothing to see stays harmless."""


def sinusoidal(position: Int[Array, "*B F"], dim: int) -> Float[Array, "*B F D"]:
    """Channel 2i is the sine, 2i + 1 the cosine, of position * 10000^(-2i/D)."""
    rate = np.exp(np.arange(0, dim, 2, dtype=np.float32) * np.float32(-np.log(10_000.0) / dim))
    angle = position.astype(jnp.float32)[..., None] * rate.reshape((1,) * position.ndim + (-1,))
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*position.shape, dim)


def periodic(num_frames: int, dim: int, period: int) -> Float[Array, "T D"]:
    """Periodic positional encoding (PPE): sinusoids of the position modulo the period."""
    return sinusoidal(jnp.arange(num_frames) % period, dim)


def head_slopes(num_heads: int) -> np.ndarray:
    """ALiBi's slopes: 2^(-8 i / h) for i = 1 ... h, and its interpolation where h is no power of two."""
    power = 2 ** int(np.log2(num_heads))
    slopes = 2.0 ** (-8.0 / power * np.arange(1, power + 1))
    between = 2.0 ** (-4.0 / power * np.arange(1, 2 * power + 1, 2))
    return np.concatenate([slopes, between[: num_heads - power]]).astype(np.float32)


def _bias(visible: Array, distance: Array, num_heads: int) -> Float[Array, "h F M"]:
    slopes = jnp.asarray(head_slopes(num_heads))[:, None, None]
    return jnp.where(visible[None], -slopes * distance[None].astype(jnp.float32), MASKED)


def temporal_bias(num_heads: int, num_frames: int, period: int) -> Float[Array, "h T T"]:
    """Causal; -slope * floor((i - j) / p) for j <= i (the reference's `init_biased_mask`)."""
    i, j = jnp.arange(num_frames)[:, None], jnp.arange(num_frames)[None, :]
    return _bias(j <= i, (i - j) // period, num_heads)


def alignment_bias(
    num_heads: int,
    num_queries: int,
    num_memory: int,
    *,
    period: int,
    ratio: int,
    offset: int | Int[Array, ""],
    alignment: Alignment = "reference",
    before: int = 0,
) -> Float[Array, "h F M"]:
    """Which memory frames each query frame sees, and how they fade: the masks of VIM (ratio 1) and MIM (ratio 2).

    Args:
      num_heads: attention heads, each with a slope of its own.
      num_queries: F, video frames.
      num_memory: M, memory frames; `ratio` of them last as long as a video frame.
      period: p, video frames in a unit of the bias.
      ratio: memory frames a video frame: 1 for motion, 2 for speech.
      offset: of the `reference` form: M - F counted over the frames in use (0 for motion, F for speech). It may be
        traced, when a buffer is longer than what it holds.
      alignment: `reference` sees j <= offset + i, fading by floor((offset + i - j) / p) (`init_biased_mask2`; for
        speech this looks ahead of the frame); `strict` sees j <= ratio i in units of ratio * p (the paper's text);
        `point_to_point` sees the frame's own `ratio` memory frames, unfaded.
      before: video frames of the memory that come before the first query's; they fade like the others.
    """
    i, j = jnp.arange(num_queries)[:, None], jnp.arange(num_memory)[None, :] - ratio * before
    if alignment == "point_to_point":
        return _bias(j // ratio == i, jnp.zeros_like(i - j), num_heads)
    last, unit = (offset + i, period) if alignment == "reference" else (ratio * i, ratio * period)
    return _bias(j <= last, (last - j) // unit, num_heads)


def hide_beyond(length: Int[AnyArray, " B"], num_memory: int) -> Float[Array, "B M"]:
    """Mask per key: 0 before each clip's `length`, `MASKED` after it."""
    return jnp.where(jnp.arange(num_memory)[None, :] < length[:, None], 0.0, MASKED)
