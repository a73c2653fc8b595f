"""The measures of facial reactions: similarity to appropriate ones, diversity, synchrony with the speaker.

`compute` is what most callers want; docs/metrics.md defines every figure in both modes.
"""

from typing import TYPE_CHECKING

from reactface_jax.metrics.scores import MODES, Measurements, Mode, compute, measure, summarise

if TYPE_CHECKING:
    from reactface_jax.metrics.video_distance import i3d

__all__ = ["MODES", "Measurements", "Mode", "compute", "i3d", "measure", "summarise"]


def __getattr__(name: str) -> object:
    if name == "i3d":  # imports a network, so only on demand
        from reactface_jax.metrics.video_distance import i3d

        return i3d
    raise AttributeError(f"module 'reactface_jax.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
