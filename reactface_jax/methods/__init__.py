"""What answers speakers: one file or folder a row of the table, behind the interface of method.py."""

from reactface_jax.methods.ground_truth import GroundTruth
from reactface_jax.methods.mean_frame import MeanFrame
from reactface_jax.methods.mean_sequence import MeanSequence
from reactface_jax.methods.method import FittedMethod, Inputs, Method, StreamingMethod, repeat
from reactface_jax.methods.mirror import Mirror
from reactface_jax.methods.random_draws import RandomDraws

__all__ = [
    "FittedMethod",
    "GroundTruth",
    "Inputs",
    "MeanFrame",
    "MeanSequence",
    "Method",
    "Mirror",
    "RandomDraws",
    "StreamingMethod",
    "repeat",
]
