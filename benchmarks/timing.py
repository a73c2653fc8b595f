"""What an operation takes on the wall."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def seconds(run: Callable[[], Any], times: int = 5) -> float:
    """The median of some runs after one that compiles."""
    jax.block_until_ready(run())
    found = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(run())
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def milliseconds(run: Callable[..., Any], *operands: Any) -> float:
    """The median of three runs after one that compiles."""
    return 1e3 * seconds(lambda: run(*operands), 3)
