"""Online generation of multiple appropriate listener faces: ReactFace in JAX/Flax.

The public names below are imported when they are first used, so that worker processes and command lines that need no
JAX start at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactface_jax import convert, losses, metrics, rendering
    from reactface_jax.config import Config, load_config
    from reactface_jax.methods.pretrained import load_pretrained
    from reactface_jax.models import ReactFace, build_model
    from reactface_jax.online import stream
    from reactface_jax.online.conversation import Conversation
    from reactface_jax.online.generation import generate

_MODULES = {
    "convert": "convert",
    "losses": "losses",
    "metrics": "metrics",
    "rendering": "rendering",
    "stream": "online.stream",
}
_HOMES = {
    "Config": "config",
    "Conversation": "online.conversation",
    "ReactFace": "models",
    "build_model": "models",
    "generate": "online.generation",
    "load_config": "config",
    "load_pretrained": "methods.pretrained",
}

__all__ = [
    "Config",
    "Conversation",
    "ReactFace",
    "build_model",
    "convert",
    "generate",
    "load_config",
    "load_pretrained",
    "losses",
    "metrics",
    "rendering",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"reactface_jax.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"reactface_jax.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'reactface_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
