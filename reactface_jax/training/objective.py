"""What a training run asks of its method: of ReactFace and of the rows that learn by steps alike."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import optax
from jaxtyping import Array, PRNGKeyArray

from reactface_jax.methods.learned import Variables
from reactface_jax.training.state import Params
from reactface_jax.training.training_log import Metrics
from reactface_jax.training.video_warmup import WarmUp
from reactface_jax.types import Batch

Gradient = Callable[[Variables, Batch, PRNGKeyArray, Array], tuple[Metrics, Params, Params]]
"""Variables, batch, root key and number of updates so far to figures (with "loss"), gradient and next method state."""


class Objective(NamedTuple):
    """A configuration's method as the training loop sees it. Functions without a word on it are for `jax.jit`."""

    init: Callable[[PRNGKeyArray], Variables]
    """Fresh variables."""
    gradient: Gradient
    answer: Callable[[Variables, Batch], tuple[Metrics, Array]]
    """Losses of a validation batch, and reactions [B K T C] by evaluation's protocol, relative to the mean face."""
    optimizer: optax.GradientTransformation
    frozen: tuple[str, ...] = ()
    """Regular expressions of the parameter paths that the optimiser does not change."""
    learning_rate: optax.Schedule | None = None
    """For the log, where there is one for all parameters."""
    check: Callable[[Params], None] = lambda shapes: None
    """Raises `UserError` if the configuration does not fit parameters of such shapes; outside `jax.jit`."""
    stages: tuple[int, ...] = (0,)
    begin: Callable[[int, Variables, Iterable[Batch]], Variables] | None = None
    """As `LearnedMethod.begin`, outside `jax.jit`; None: nothing is measured."""
    warm_up: WarmUp | None = None
    """Before step 0, outside `jax.jit`; None: nothing is trained before it."""
    has_rules: bool = True
    """Whether every parameter has its rule in training.sharding.RULES; those without one are whole on each device."""
