"""From a configuration to its network."""

from reactface_jax.config import ModelConfig
from reactface_jax.errors import UserError
from reactface_jax.models.causal.reactface import CausalReactFace
from reactface_jax.models.reactface import ReactFace


def build_model(config: ModelConfig) -> ReactFace:
    """The Flax module of a configuration.

    New parameters: `model.init({"params": key, "sample": other_key}, video, audio)["params"]`, where "sample" draws the
    latents; trained ones: `Run.params` of `load_run`, or `load_params`.

    Args:
      config: the model's part of a configuration, `config.model`.

    Raises:
      UserError: it is something else, such as the whole configuration.
    """
    if not isinstance(config, ModelConfig):
        raise UserError(f"build_model takes a ModelConfig, got a {type(config).__name__}; give config.model")
    return CausalReactFace(config) if config.causal else ReactFace(config)
