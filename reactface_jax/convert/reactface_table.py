"""The authors' names of ReactFace, and its sizes from the shapes of a checkpoint."""

import dataclasses
from collections.abc import Callable
from typing import Any

from reactface_jax.config import ModelConfig
from reactface_jax.convert import wav2vec2_table
from reactface_jax.convert.mapping import StateDict, shape_of
from reactface_jax.convert.tensor_layouts import CONV_3D, SAME, Entry, decoder_layer, encoder_layer, linear

_SPEAKER = "speaker_reaction_decoder"
_AUDIO = f"{_SPEAKER}.audio_encoder.wav2vec2."
_LISTENER = "listener_reaction_decoder"
_INTERACTION = "interaction_VAE"
_INTERACTION_LAYERS = f"{_INTERACTION}.seqTransEncoder.layers."
_NUM_REACTION_LAYERS = 2
_NUM_VIDEO_CONVOLUTIONS = 5

_MODULES: tuple[tuple[str, str, Callable[[str, str], list[Entry]]], ...] = (
    (f"{_SPEAKER}.audio_feature_map", "speaker_encoder/audio_feature_map", linear),
    (f"{_SPEAKER}.speaker_transformer_decoder1.layers.0", "speaker_encoder/face_decoder", decoder_layer),
    (f"{_SPEAKER}.speaker_transformer_decoder2.layers.0", "speaker_encoder/speech_decoder", decoder_layer),
    (f"{_SPEAKER}.speaker_transformer_decoder3.layers.0", "speaker_encoder/motion_decoder", decoder_layer),
    ("video_encoder.fc", "speaker_encoder/video_encoder/fc", linear),
    ("speaker_decoder.layers.0", "speaker_encoder/speaker_decoder", decoder_layer),
    ("speaker_vector_map_layer", "speaker_encoder/speaker_map", linear),
    ("past_motion_linear", "listener/interaction_encoder/past_motion_map", linear),
    ("transformer_fusion_plm2sa.layers.0", "listener/interaction_encoder/past_speech_decoder", decoder_layer),
    ("transformer_fusion_plm2sm.layers.0", "listener/interaction_encoder/past_motion_decoder", decoder_layer),
    (f"{_INTERACTION}.linear", "listener/interaction_encoder/linear", linear),
    (f"{_LISTENER}.transformer_fusion_decode1.layers.0", "listener/synchroniser/speech_decoder", decoder_layer),
    (f"{_LISTENER}.transformer_fusion_decode2.layers.0", "listener/synchroniser/motion_decoder", decoder_layer),
    (f"{_LISTENER}.listener_reaction_3dmm_map_layer", "listener/synchroniser/listener_map", linear),
)


def table(audio_layers: int, interaction_layers: int) -> list[Entry]:
    """Entries of the whole model with that many layers in wav2vec 2.0 and in the interaction encoder."""
    entries = [entry for source, target, kind in _MODULES for entry in kind(source, target)]
    for entry in wav2vec2_table.table(audio_layers):
        targets = tuple(f"speaker_encoder/audio_encoder/{path}" for path in entry.targets)
        entries.append(dataclasses.replace(entry, source=_AUDIO + entry.source, targets=targets))
    for number in range(1, _NUM_VIDEO_CONVOLUTIONS + 1):
        path = f"speaker_encoder/video_encoder/conv{number}/kernel"
        entries.append(Entry(f"video_encoder.Conv3D.conv{number}.weight", (path,), CONV_3D))
    for token, name in (("mu_token", "mean_token"), ("logvar_token", "log_variance_token")):
        entries.append(Entry(f"{_INTERACTION}.{token}", (f"listener/interaction_encoder/{name}",), SAME))
    for index in range(interaction_layers):
        entries += encoder_layer(f"{_INTERACTION_LAYERS}{index}", f"listener/interaction_encoder/layer_{index}")
    for index in range(_NUM_REACTION_LAYERS):
        source = f"{_LISTENER}.transformer_decoder.layers.{index}"
        entries += decoder_layer(source, f"listener/reaction_decoder/layer_{index}")
    return entries


def infer_sizes(state_dict: StateDict) -> dict[str, Any]:
    """Fields of `ModelConfig` that follow from shapes, `audio` as a dictionary; the number of heads does not."""
    return {
        "feature_dim": shape_of(state_dict, f"{_SPEAKER}.audio_feature_map.weight", 2)[0],
        "interaction_layers": wav2vec2_table.count_layers(state_dict, _INTERACTION_LAYERS),
        "audio": wav2vec2_table.infer_sizes(state_dict, _AUDIO),
    }


def infer_config(state_dict: StateDict, base: ModelConfig) -> ModelConfig:
    """`base` with the sizes of a state dict with normalised names."""
    sizes = infer_sizes(state_dict)
    audio = dataclasses.replace(base.audio, **sizes.pop("audio"))
    return dataclasses.replace(base, audio=audio, **sizes)


def check_config(state_dict: StateDict, config: ModelConfig) -> None:
    """Raises `UserError` if a size of the configuration is not the state dict's; names the field and both values."""
    sizes = infer_sizes(state_dict)
    wav2vec2_table.check_sizes(sizes.pop("audio"), config.audio, "model.audio")
    wav2vec2_table.check_sizes(sizes, config, "model")
