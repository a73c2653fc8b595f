"""From a configuration to its network."""

from reactface_jax.config import ModelConfig
from reactface_jax.models.causal.reactface import CausalReactFace
from reactface_jax.models.reactface import ReactFace


def build_model(config: ModelConfig) -> ReactFace:
    """The Flax module of a configuration. Parameters: `model.init(keys, video, audio)["params"]`."""
    return CausalReactFace(config) if config.causal else ReactFace(config)
