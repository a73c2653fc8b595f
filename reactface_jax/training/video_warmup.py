"""F-Enc learns to see before a run's first step: the speaker's coefficients from its features by a linear map.

In the whole model the speaker's reconstruction trains F-Enc too, but through positions and four decoder layers that are
themselves untrained, and takes many times as many steps. What comes after is the training as it always is: the linear
map is thrown away, nothing else has changed.
"""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, UInt8

from reactface_jax import losses
from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.models.precision import products
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.optimizer import make_optimizer
from reactface_jax.training.accumulation import averaged
from reactface_jax.training.state import Params
from reactface_jax.types import NUM_COEFFICIENTS, Batch

log = logging.getLogger(__name__)

WarmUp = Callable[[Params, Iterable[Batch]], Params]
"""The model's parameters and batches on the devices to the parameters that training begins with."""


class _Seeing(NamedTuple):
    """What is trained; F-Enc under its path in the model, which `optimizer.decayed` may ask for."""

    speaker_encoder: Params
    kernel: Float[Array, "D C"]
    bias: Float[Array, " C"]


def make_video_warmup(model: nn.Module, config: Config) -> WarmUp | None:
    """None where `train.video_warmup` is 0 or the model does not see.

    Args:
      model: from `build_model`.
      config: the experiment. The optimiser is its own, with its schedule over the steps of the warm-up; the batch goes
        through in `train.accumulate` parts.
    """
    steps, parts = config.train.video_warmup, config.train.accumulate
    optimizer = make_optimizer(config.optimizer, steps)

    def loss(seeing: _Seeing, video: UInt8[Array, "B T H W 3"], speaker: Float[Array, "B T C"]) -> Array:
        variables = {"params": {"speaker_encoder": seeing.speaker_encoder}}
        features = model.apply(variables, to_unit_range(video), method=face_features)
        seen = jnp.asarray(features, jnp.float32) @ seeing.kernel + seeing.bias[None, None]
        return losses.smooth_l1(seen, speaker).mean()

    @jax.jit
    def update(seeing: _Seeing, state: optax.OptState, video: Array, speaker: Array) -> tuple[Any, Any, Array]:
        def of_part(_: int | Array, video: Array, speaker: Array) -> tuple[Array, _Seeing]:
            with products(config.model, training=True):
                return jax.value_and_grad(loss)(seeing, video, speaker)

        value, gradient = of_part(0, video, speaker) if parts == 1 else averaged(of_part, parts, video, speaker)
        changes, state = optimizer.update(gradient, state, seeing)
        return optax.apply_updates(seeing, changes), state, value

    def warm_up(params: Params, batches: Iterable[Batch]) -> Params:
        encoder = params["speaker_encoder"]
        zeros = jnp.zeros((config.model.feature_dim, NUM_COEFFICIENTS), jnp.float32)
        seeing = _Seeing({"video_encoder": encoder["video_encoder"]}, zeros, zeros[0])
        state = jax.jit(optimizer.init)(seeing)
        values: list[Array] = []
        for step, batch in zip(range(1, steps + 1), batches, strict=False):
            seeing, state, value = update(seeing, state, batch.video, batch.speaker)
            jax.block_until_ready(values[-1:])  # one step waits behind the one that runs, as in the training loop
            values.append(value)
            if step % config.train.log_every == 0 or step == steps:
                mean = float(np.mean(jax.device_get(values)))
                log.info("warm-up of F-Enc, step %d/%d  speaker %.4g", step, steps, mean)
                if not math.isfinite(mean):
                    raise UserError(
                        f"the warm-up of F-Enc diverged before its step {step}; "
                        "give a lower --optimizer.learning-rate, or --train.video-warmup 0"
                    )
                values.clear()
        return {**params, "speaker_encoder": {**encoder, **seeing.speaker_encoder}}

    return warm_up if steps and config.model.use_video else None


def face_features(model: Any, video: Float[Array, "B T H W 3"]) -> Float[Array, "B T D"]:
    """F-Enc's features, whichever kind the model's is; a method for `model.apply`."""
    found = model.speaker_encoder.video_encoder(video)
    features: Array = found[0] if model.config.causal else found
    return features
