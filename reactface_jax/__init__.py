"""Online generation of multiple appropriate listener faces: ReactFace in JAX/Flax."""

from reactface_jax.config import Config, load_config
from reactface_jax.generation import generate
from reactface_jax.models import ReactFace, build_model

__all__ = ["Config", "ReactFace", "build_model", "generate", "load_config"]
