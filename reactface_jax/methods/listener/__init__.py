"""A streaming, generative listener, trained on many appropriate listeners of each speaker: docs/does_it_react.md."""

from reactface_jax.methods.listener.control import Control
from reactface_jax.methods.listener.listener import Listener, ListenerState
from reactface_jax.methods.listener.weights import Weights, find_weights, load_weights, save_weights

__all__ = ["Control", "Listener", "ListenerState", "Weights", "find_weights", "load_weights", "save_weights"]
