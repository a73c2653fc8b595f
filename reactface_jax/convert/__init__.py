"""PyTorch checkpoints to parameters and back.

Command line: `reactface convert reactface best_checkpoint.pth --out DIR`, `wav2vec2 FOLDER --out DIR`, or
`pirender cur_model_fold.pth --out DIR`.
docs/conversion.md lists what is accepted and how names correspond.
"""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np

from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.convert import i3d_table, known_unused, pirender_table, reactface_table, wav2vec2_table
from reactface_jax.convert.mapping import (
    Params,
    Report,
    StateDict,
    normalise_names,
    shape_of,
    to_params,
    to_state_dict,
    without_prefix,
)
from reactface_jax.convert.methods import method
from reactface_jax.errors import UserError
from reactface_jax.models.build import build_model
from reactface_jax.models.i3d import I3D, SIZE
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder
from reactface_jax.rendering.portrait.model import WINDOW, PIRender
from reactface_jax.types import SAMPLES_PER_FRAME

__all__ = [
    "i3d",
    "i3d_with_report",
    "infer_model_config",
    "method",
    "pirender",
    "pirender_with_report",
    "reactface",
    "reactface_with_report",
    "to_pirender",
    "to_reactface",
    "wav2vec2",
    "wav2vec2_with_report",
]

_log = logging.getLogger(__name__)


def reactface(state_dict: StateDict, config: ModelConfig) -> Params:
    """Parameters of `build_model(config)` from the authors' state dict.

    Args:
      state_dict: names to numpy arrays or torch tensors, with or without DataParallel's `module.`, with either spelling
        of weight norm.
      config: must have the state dict's sizes; `infer_model_config` finds them.

    Returns:
      Nested dictionaries of float32 arrays. Without a `masked_spec_embed` that parameter is zero, and a line is logged.

    Raises:
      UserError: a size of the configuration differs, or it is something else, such as the whole configuration; keys are
        missing or unknown, a shape does not fit, or values are not finite.
    """
    return _log_zeroed(*reactface_with_report(state_dict, config))


def reactface_with_report(state_dict: StateDict, config: ModelConfig) -> tuple[Params, Report]:
    """As `reactface`, and what became of each key."""
    _require(config, ModelConfig, "config.model")
    names = normalise_names(state_dict)
    reactface_table.check_config(names, config)
    table = reactface_table.table(config.audio.num_layers, config.interaction_layers)
    return to_params(names, table, _reactface_template(config), known_unused.REACTFACE)


def infer_model_config(state_dict: StateDict, base: ModelConfig | None = None) -> ModelConfig:
    """`base` (the defaults if None) with the sizes of the authors' state dict: feature_dim, interaction_layers, audio.

    The numbers of heads can't be inferred: `base` must have them right.

    Raises:
      UserError: it is another model's state dict, or `base` is something else, such as the whole configuration.
    """
    base = ModelConfig() if base is None else base
    _require(base, ModelConfig, "config.model")
    return reactface_table.infer_config(normalise_names(state_dict), base)


def to_reactface(params: Params) -> dict[str, np.ndarray]:
    """The authors' names and layouts of a ReactFace's parameters, the inverse of `reactface`.

    Weight norm has the older spelling, which every PyTorch reads. The authors' module also wants tables of positional
    encodings and unused layers, so load it with `strict=False`.

    Raises:
      UserError: they are another model's, or of one that lacks a part of the reference's.
    """
    _require_bare(params)
    audio_layers = _count_layers(params.get("speaker_encoder", {}).get("audio_encoder", {}))
    interaction_layers = _count_layers(params.get("listener", {}).get("interaction_encoder", {}))
    return to_state_dict(params, reactface_table.table(audio_layers, interaction_layers))


def wav2vec2(state_dict: StateDict, config: AudioConfig) -> Params:
    """Parameters of `Wav2Vec2Encoder(config)` from the state dict of transformers' Wav2Vec2Model or Wav2Vec2ForCTC.

    Args and errors are those of `reactface`.
    """
    return _log_zeroed(*wav2vec2_with_report(state_dict, config))


def wav2vec2_with_report(state_dict: StateDict, config: AudioConfig) -> tuple[Params, Report]:
    """As `wav2vec2`, and what became of each key."""
    _require(config, AudioConfig, "config.model.audio")
    names = without_prefix(normalise_names(state_dict), "wav2vec2.")
    wav2vec2_table.check_sizes(wav2vec2_table.infer_sizes(names), config, "model.audio")
    return to_params(names, wav2vec2_table.table(config.num_layers), _wav2vec2_template(config), known_unused.WAV2VEC2)


def pirender(state_dict: StateDict) -> Params:
    """Parameters of the portrait renderer from the state dict of PIRender, for `rendering.pirender`.

    Two forms are known: the one retrained for 58 coefficients, which are mapped to 73 first, and the original, which
    takes its 73 directly. The number of coefficients is read from the shapes.

    Raises:
      UserError: keys are missing or unknown, a shape does not fit, or values are not finite.
    """
    return pirender_with_report(state_dict)[0]


def pirender_with_report(state_dict: StateDict) -> tuple[Params, Report]:
    """As `pirender`, and what became of each key."""
    names = normalise_names(state_dict)
    project = "mapping_net.pre.weight" in names
    channels = shape_of(names, f"mapping_net.{'pre' if project else 'first.0'}.weight", 3)[1]
    return to_params(names, pirender_table.table(project), _pirender_template(project, channels), known_unused.PIRENDER)


def to_pirender(params: Params) -> dict[str, np.ndarray]:
    """The authors' names and layouts, the inverse of `pirender`, without the layers that have no effect.

    Raises `UserError` if they are another model's.
    """
    _require_bare(params)
    return to_state_dict(params, pirender_table.table("pre" in params.get("mapping", {})))


def i3d(state_dict: StateDict) -> Params:
    """Parameters of `I3D` from the state dict of rgb_imagenet.pt. Errors are those of `reactface`."""
    return i3d_with_report(state_dict)[0]


def i3d_with_report(state_dict: StateDict) -> tuple[Params, Report]:
    """As `i3d`, and what became of each key."""
    video = jax.ShapeDtypeStruct((1, 16, SIZE, SIZE, 3), jnp.float32)
    template = jax.eval_shape(I3D().init, jax.random.key(0), video)["params"]
    return to_params(normalise_names(state_dict), i3d_table.table(), template, known_unused.I3D)


def _require(config: object, kind: type, part: str) -> None:
    if not isinstance(config, kind):
        raise UserError(f"the configuration is of type {type(config).__name__}, not {kind.__name__}; give {part}")


def _require_bare(params: Params) -> None:
    if "params" in params:
        raise UserError(
            'these are a model\'s variables, of which the parameters are converted; give variables["params"]'
        )


def _log_zeroed(params: Params, report: Report) -> Params:
    for path in report.zeroed:
        _log.warning("the state dict has no value for %s: it is zero", path)
    return params


def _count_layers(params: Params) -> int:
    return sum(name.startswith("layer_") for name in params)


@functools.cache
def _reactface_template(config: ModelConfig) -> Params:
    """Shapes of the model's parameters; nothing is computed."""
    video = jax.ShapeDtypeStruct((1, config.window, 64, 64, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, config.window * SAMPLES_PER_FRAME), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    return jax.eval_shape(build_model(config).init, keys, video, audio)["params"]


@functools.cache
def _wav2vec2_template(config: AudioConfig) -> Params:
    audio = jax.ShapeDtypeStruct((1, SAMPLES_PER_FRAME), jnp.float32)
    return jax.eval_shape(Wav2Vec2Encoder(config).init, jax.random.key(0), audio)["params"]


@functools.cache
def _pirender_template(project: bool, channels: int) -> Params:
    portrait = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    windows = jax.ShapeDtypeStruct((1, WINDOW, channels), jnp.float32)
    return jax.eval_shape(PIRender(project).init, jax.random.key(0), portrait, windows)["params"]
