"""Pictures of faces from coefficients."""

from reactface_jax.rendering.head import HeadRenderer
from reactface_jax.rendering.head_look import Look
from reactface_jax.rendering.head_mesh import ARKIT_NAMES

__all__ = ["ARKIT_NAMES", "HeadRenderer", "Look"]
