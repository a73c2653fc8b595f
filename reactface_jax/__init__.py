"""Online generation of multiple appropriate listener faces: ReactFace in JAX/Flax.

The public names below are imported when they are first used, so that worker processes and command lines that need no
JAX start at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactface_jax import convert, losses, metrics, rendering
    from reactface_jax.config import Config, load_config
    from reactface_jax.errors import UserError
    from reactface_jax.methods.listener import Control, Listener
    from reactface_jax.methods.method import Inputs
    from reactface_jax.methods.pretrained import load_pretrained
    from reactface_jax.models import ReactFace, build_model
    from reactface_jax.online import stream
    from reactface_jax.online.conversation import Conversation
    from reactface_jax.online.generation import generate
    from reactface_jax.weights.params_file import load_params
    from reactface_jax.weights.run import load_run

_MODULES = {
    "convert": "convert",
    "losses": "losses",
    "metrics": "metrics",
    "rendering": "rendering",
    "stream": "online.stream",
}
_HOMES = {
    "Config": "config",
    "Control": "methods.listener",
    "Conversation": "online.conversation",
    "Inputs": "methods.method",
    "Listener": "methods.listener",
    "ReactFace": "models",
    "UserError": "errors",
    "build_model": "models",
    "generate": "online.generation",
    "load_config": "config",
    "load_params": "weights.params_file",
    "load_pretrained": "methods.pretrained",
    "load_run": "weights.run",
}

__all__ = [
    "Config",
    "Control",
    "Conversation",
    "Inputs",
    "Listener",
    "ReactFace",
    "UserError",
    "build_model",
    "convert",
    "generate",
    "load_config",
    "load_params",
    "load_pretrained",
    "load_run",
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
