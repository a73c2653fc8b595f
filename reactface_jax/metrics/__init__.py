"""The measures of facial reactions: similarity to appropriate ones, diversity, synchrony with the speaker.

`compute` is what most callers want; docs/metrics.md defines every figure in both modes.
"""

from typing import Any

from reactface_jax.metrics.scores import MODES, Measurements, Mode, compute, measure, summarise

__all__ = ["MODES", "Measurements", "Mode", "compute", "i3d", "measure", "summarise"]


def __getattr__(name: str) -> Any:
    if name == "i3d":  # a network: it waits until it is asked for
        from reactface_jax.metrics.video_distance import i3d

        return i3d
    raise AttributeError(f"module 'reactface_jax.metrics' has no attribute {name!r}")
