"""Means and standard deviations of the training split, which methods standardise by."""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reactface_jax.types import Batch

_LEAST = 1e-4
"""Of a standard deviation: a channel that stands still is left as it is."""

Features = Callable[[Batch], Mapping[str, Float[Array, "*A C"]]]
_Sums = tuple[float, np.ndarray, np.ndarray]
Moments = dict[str, dict[str, Float[Array, " C"]]]


def measure(batches: Iterable[Batch], count: int, features: Features) -> Moments:
    """`{"mean": …, "std": …}` of each of `features`, over all but its last axis and over the first `count` batches."""
    summed: dict[str, _Sums] = {}
    moments = jax.jit(functools.partial(_moments, features))
    for batch in itertools.islice(batches, count):
        for name, (size, mean, squares) in moments(batch).items():
            found = (float(size), np.asarray(mean, np.float64), np.asarray(squares, np.float64))
            summed[name] = _together(summed[name], found) if name in summed else found
    return {name: _finished(*moments) for name, moments in summed.items()}


def standardise(x: Float[Array, "*A C"], moments: Mapping[str, Float[Array, " C"]]) -> Float[Array, "*A C"]:
    """Zero mean and unit variance over the training split, channel by channel."""
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    return (x - moments["mean"].reshape(shape)) / moments["std"].reshape(shape)


def unstandardise(x: Float[Array, "*A C"], moments: Mapping[str, Float[Array, " C"]]) -> Float[Array, "*A C"]:
    """The inverse of `standardise`."""
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    return x * moments["std"].reshape(shape) + moments["mean"].reshape(shape)


def neutral(num_channels: int) -> dict[str, Float[Array, " C"]]:
    """Moments that change nothing, before any are measured."""
    return {"mean": jnp.zeros(num_channels), "std": jnp.ones(num_channels)}


def _moments(features: Features, batch: Batch) -> dict[str, tuple[Array, Array, Array]]:
    found = {}
    for name, x in features(batch).items():
        rows = x.reshape(-1, x.shape[-1])
        mean = rows.mean(0)
        found[name] = (jnp.float32(len(rows)), mean, jnp.square(rows - mean[None]).sum(0))
    return found


def _together(a: _Sums, b: _Sums) -> _Sums:
    """Count, mean and squared deviations of two sets together (Chan et al., 1979)."""
    size = a[0] + b[0]
    apart = b[1] - a[1]
    return size, a[1] + apart * b[0] / size, a[2] + b[2] + np.square(apart) * a[0] * b[0] / size


def _finished(size: float, mean: np.ndarray, squares: np.ndarray) -> dict[str, Float[Array, " C"]]:
    std = np.sqrt(squares / size)
    return {
        "mean": jnp.asarray(mean, jnp.float32),
        "std": jnp.asarray(np.where(std > _LEAST, std, 1.0), jnp.float32),
    }
