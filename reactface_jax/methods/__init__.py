"""What answers speakers: one file or folder a row of the table, behind the interface of method.py."""

from reactface_jax.methods.delayed_mirror import DelayedMirror
from reactface_jax.methods.ground_truth import GroundTruth
from reactface_jax.methods.linear import Linear
from reactface_jax.methods.mean_frame import MeanFrame
from reactface_jax.methods.mean_sequence import MeanSequence
from reactface_jax.methods.method import FittedMethod, Inputs, Method, PairFittedMethod, StreamingMethod, repeat
from reactface_jax.methods.mirror import Mirror
from reactface_jax.methods.nearest_segment import NearestSegment
from reactface_jax.methods.random_draws import RandomDraws, RandomSegment, RandomUniform

__all__ = [
    "DelayedMirror",
    "FittedMethod",
    "GroundTruth",
    "Inputs",
    "Linear",
    "MeanFrame",
    "MeanSequence",
    "Method",
    "Mirror",
    "NearestSegment",
    "PairFittedMethod",
    "RandomDraws",
    "RandomSegment",
    "RandomUniform",
    "StreamingMethod",
    "repeat",
]
