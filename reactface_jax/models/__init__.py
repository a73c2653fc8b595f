"""The networks: one file a block of the paper's Figure 2."""

from reactface_jax.models.build import build_model
from reactface_jax.models.reactface import ReactFace

__all__ = ["ReactFace", "build_model"]
