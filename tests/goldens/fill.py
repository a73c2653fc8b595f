"""Deterministic parameter values from a name, a shape and a seed (see README.md)."""

import zlib

import numpy as np


def fill(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Returns float32 values of `shape` for the parameter `name`."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    x = rng.standard_normal(shape).astype(np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("weight_g", "original0"):  # weight-norm gains
        return np.abs(x) * 0.1 + 0.5
    if len(shape) >= 2:
        return x / np.float32(np.sqrt(np.prod(shape[1:])))
    if leaf == "weight":  # normalisation scales
        return 1 + 0.1 * x
    if "token" in leaf:
        return x
    return 0.1 * x  # biases
