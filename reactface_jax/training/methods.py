"""From a configuration to what the training loop trains."""

from reactface_jax.config import Config
from reactface_jax.methods.rows import learned_method
from reactface_jax.training.learned_objective import learned_objective
from reactface_jax.training.objective import Objective
from reactface_jax.training.reactface_objective import reactface_objective


def make_objective(config: Config) -> Objective:
    """Raises `UserError` if the configuration's method can't be trained so."""
    if config.method == "reactface":
        return reactface_objective(config)
    return learned_objective(learned_method(config), config)
