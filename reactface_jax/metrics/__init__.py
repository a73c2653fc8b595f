"""The measures of facial reactions: similarity to appropriate ones, diversity, synchrony with the speaker.

`compute` is what most callers want; docs/metrics.md defines every figure in both modes.
"""

from reactface_jax.metrics.scores import MODES, Measurements, Mode, compute, measure, summarise

__all__ = ["MODES", "Measurements", "Mode", "compute", "measure", "summarise"]
