"""AdamW as the reference uses it, with schedule, clipping and frozen parameters."""

import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

from reactface_jax.config import ModelConfig, OptimizerConfig
from reactface_jax.errors import UserError
from reactface_jax.tree_names import named_leaves, path_name

FEATURE_EXTRACTOR = r"speaker_encoder/audio_encoder/feature_extractor/"


def frozen_patterns(model: ModelConfig, more: str = "") -> tuple[str, ...]:
    """Regular expressions of the parameter paths that training leaves as they are; `more` is `optimizer.frozen`."""
    extractor = (FEATURE_EXTRACTOR,) if model.use_audio and model.audio.freeze_feature_extractor else ()
    return (*extractor, more) if more else extractor


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

    Weight decay covers every trained parameter whose path `config.decayed` matches: by default all, biases and norms
    too, as PyTorch's AdamW does in the reference.
    Parameters whose path matches one of `frozen` get no update, no decay and no moments, and do not count in the
    norm that clipping sees.
    """
    adamw = optax.adamw(
        learning_rate(config, steps),
        b1=config.b1,
        b2=config.b2,
        weight_decay=config.weight_decay,
        mask=None if config.decayed == ".*" else lambda params: path_mask(params, (config.decayed,)),
    )
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm > 0 else optax.identity()

    def labels(params: Any) -> Any:
        return jax.tree.map(lambda is_frozen: "frozen" if is_frozen else "trained", path_mask(params, frozen))

    return optax.multi_transform({"trained": optax.chain(clip, adamw), "frozen": optax.set_to_zero()}, labels)


def check_patterns(params: Any, config: OptimizerConfig) -> None:
    """Raises `UserError` unless each pattern of the configuration matches a parameter, and one is left to train."""
    for name, pattern in {"decayed": config.decayed, "frozen": config.frozen}.items():
        if pattern and not any(jax.tree.leaves(path_mask(params, (pattern,)))):
            raise UserError(
                f"--optimizer.{name} {pattern} matches no parameter; a path is such as {_some_path(params)}"
            )
    if config.frozen and all(jax.tree.leaves(path_mask(params, (config.frozen,)))):
        raise UserError(f"--optimizer.frozen {config.frozen} matches every parameter; nothing would be trained")


def _some_path(params: Any) -> str:
    return next(iter(named_leaves(params)))


def path_mask(params: Any, patterns: Sequence[str]) -> Any:
    """A tree of booleans like `params`: which leaves' paths, such as `a/b/kernel`, match one of the patterns."""

    def matches(path: Any, _: Any) -> bool:
        return any(re.search(pattern, path_name(path)) for pattern in patterns)

    return jax.tree_util.tree_map_with_path(matches, params)
