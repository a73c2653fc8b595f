"""AdamW as the reference uses it, with schedule, clipping and frozen parameters."""

import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

from reactface_jax.config import ModelConfig, OptimizerConfig

FEATURE_EXTRACTOR = r"speaker_encoder/audio_encoder/feature_extractor/"


def frozen_patterns(model: ModelConfig) -> tuple[str, ...]:
    """Regular expressions of the parameter paths that training leaves as they are."""
    return (FEATURE_EXTRACTOR,) if model.use_audio and model.audio.freeze_feature_extractor else ()


def learning_rate(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Step (from 0) to learning rate: linear warm-up, then constant or a half cosine that ends at 0 after `steps`."""
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(steps - warmup, 1))
    else:
        after = optax.constant_schedule(peak)
    if warmup == 0:
        return after
    # Step 0 already learns: peak / warmup, 2 peak / warmup, ...
    rise = optax.linear_schedule(peak / warmup, peak * (warmup + 1) / warmup, warmup)
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(
    config: OptimizerConfig, steps: int, frozen: Sequence[str] = ()
) -> optax.GradientTransformationExtraArgs:
    """The optimiser of a run.

    Weight decay covers every trained parameter, biases and norms too, as PyTorch's AdamW does in the reference.
    Parameters whose path matches one of `frozen` get no update, no decay and no moments, and do not count in the
    norm that clipping sees.
    """
    adamw = optax.adamw(learning_rate(config, steps), b1=config.b1, b2=config.b2, weight_decay=config.weight_decay)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm > 0 else optax.identity()

    def labels(params: Any) -> Any:
        return jax.tree.map(lambda is_frozen: "frozen" if is_frozen else "trained", frozen_mask(params, frozen))

    return optax.multi_transform({"trained": optax.chain(clip, adamw), "frozen": optax.set_to_zero()}, labels)


def frozen_mask(params: Any, frozen: Sequence[str]) -> Any:
    """A tree of booleans like `params`: which leaves' paths, such as `a/b/kernel`, match one of the patterns."""

    def matches(path: Any, _: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return any(re.search(pattern, name) for pattern in frozen)

    return jax.tree_util.tree_map_with_path(matches, params)
