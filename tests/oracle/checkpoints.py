"""Checkpoints as the authors' code and transformers write them, small."""

import functools

import jax
import numpy as np
import torch
import transformers

from reactface_jax import convert
from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.convert import reactface_table
from reactface_jax.convert.mapping import to_state_dict

AUDIO = AudioConfig(
    hidden_size=24,
    num_layers=1,
    num_heads=4,
    intermediate_size=20,
    conv_dim=8,
    num_conv_pos_embeddings=6,
    num_conv_pos_groups=4,
)
MODEL = ModelConfig(feature_dim=16, interaction_layers=1, audio=AUDIO)
WAV2VEC2 = "speaker_reaction_decoder.audio_encoder.wav2vec2"
POSITION = f"{WAV2VEC2}.encoder.pos_conv_embed.conv"
UNUSED = {
    "PE.pe": (1, 600, 16),
    "speaker_reaction_decoder.audio_encoder.lm_head.weight": (32, 24),
    "transformer_listener_vectors.layers.0.linear1.bias": (32,),
}


@functools.cache
def model_state() -> dict[str, np.ndarray]:
    """A state dict of the authors' model, small: every shape by way of the model's own, every value different."""
    shapes = convert._reactface_template(MODEL)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)
    state = to_state_dict(params, reactface_table.table(AUDIO.num_layers, MODEL.interaction_layers))
    return state | {name: rng.standard_normal(shape, np.float32) for name, shape in UNUSED.items()}


@functools.cache
def audio_state() -> dict[str, torch.Tensor]:
    """A state dict of transformers' model with its letter head, as small."""
    torch.manual_seed(0)
    return transformers.Wav2Vec2ForCTC(hugging_face_config()).state_dict()


def hugging_face_config() -> transformers.Wav2Vec2Config:
    return transformers.Wav2Vec2Config(
        hidden_size=AUDIO.hidden_size,
        num_hidden_layers=AUDIO.num_layers,
        num_attention_heads=AUDIO.num_heads,
        intermediate_size=AUDIO.intermediate_size,
        conv_dim=(AUDIO.conv_dim,) * 7,
        num_conv_pos_embeddings=AUDIO.num_conv_pos_embeddings,
        num_conv_pos_embedding_groups=AUDIO.num_conv_pos_groups,
        feat_proj_dropout=0.25,
    )


def assert_trees_equal(first: dict, second: dict) -> None:
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))


def change(state: dict, **changes: object) -> dict:
    """The state with entries of keys that end so removed (None) or replaced."""
    changed = dict(state)
    for end, value in changes.items():
        (name,) = [name for name in state if name.endswith(end)]
        if value is None:
            del changed[name]
        else:
            changed[name] = value
    return changed
