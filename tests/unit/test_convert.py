"""Conversion of state dicts: strict both ways, and back to PyTorch unchanged."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from oracle.checkpoints import (
    AUDIO,
    MODEL,
    POSITION,
    UNUSED,
    assert_trees_equal,
    audio_state,
    change,
    hugging_face_config,
    model_state,
)

from reactface_jax import convert
from reactface_jax.config import AudioConfig, Config, ModelConfig
from reactface_jax.convert import wav2vec2_table
from reactface_jax.convert.tensor_layouts import CONV_1D, CONV_3D, DENSE, PACKED_BIAS, PACKED_DENSE, SAME, TAP_GAIN
from reactface_jax.errors import UserError


@pytest.fixture(scope="module", name="model_state")
def _model_state() -> dict[str, np.ndarray]:
    return model_state()


@pytest.fixture(scope="module", name="audio_state")
def _audio_state() -> dict[str, torch.Tensor]:
    return audio_state()


# Layouts


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        (SAME, (3,), [(3,)]),
        (DENSE, (5, 3), [(3, 5)]),
        (CONV_1D, (8, 4, 3), [(3, 4, 8)]),
        (CONV_3D, (8, 4, 5, 7, 6), [(5, 7, 6, 4, 8)]),
        (TAP_GAIN, (1, 1, 6), [(6,)]),
        (PACKED_DENSE, (12, 4), [(4, 4)] * 3),
        (PACKED_BIAS, (12,), [(4,)] * 3),
    ],
)
def test_layouts_go_both_ways(layout, shape, expected) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    parts = layout.to_jax(array)
    assert [part.shape for part in parts] == expected
    assert np.array_equal(layout.to_torch(parts), array)


def test_packed_projections_are_query_key_value_in_this_order() -> None:
    weight = np.arange(12).reshape(6, 2)  # D = 2: two rows each
    query, key, value = PACKED_DENSE.to_jax(weight)
    assert query.tolist() == [[0, 2], [1, 3]]
    assert key.tolist() == [[4, 6], [5, 7]]
    assert value.tolist() == [[8, 10], [9, 11]]


# State dicts


def test_every_parameter_is_filled_and_goes_back(model_state) -> None:
    params, report = convert.reactface_with_report(model_state, MODEL)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, convert._reactface_template(MODEL))
    assert [key for keys in report.ignored.values() for key in keys] == sorted(UNUSED)
    assert report.zeroed == []
    back = convert.to_reactface(params)
    assert back.keys() == model_state.keys() - UNUSED.keys()
    assert all(np.array_equal(array, model_state[name]) for name, array in back.items())


def test_what_is_no_whole_model_does_not_go_back(model_state) -> None:
    params = convert.reactface(model_state, MODEL)
    speaker = {name: part for name, part in params["speaker_encoder"].items() if name != "audio_encoder"}
    for less in (params | {"speaker_encoder": speaker}, {"listener": params["listener"]}, {}):
        with pytest.raises(UserError, match=r"no place for \d+ parameters .*; convert with every part"):
            convert.to_reactface(less)
    for back in (convert.to_reactface, convert.to_pirender):
        with pytest.raises(UserError, match=r'the parameters are converted; give variables\["params"\]'):
            back({"params": params})
    with pytest.raises(UserError, match="no place for"):
        convert.to_pirender({})


@pytest.mark.usefixtures("as_users_call")
def test_a_whole_configuration_is_no_models(model_state, audio_state) -> None:
    whole: Any = Config()
    with pytest.raises(UserError, match=r"the configuration is of type Config, not ModelConfig; give config\.model"):
        convert.reactface(model_state, whole)
    with pytest.raises(UserError, match=r"type Config, not ModelConfig; give config\.model"):
        convert.infer_model_config(model_state, whole)
    with pytest.raises(UserError, match=r"type Config, not AudioConfig; give config\.model\.audio"):
        convert.wav2vec2(audio_state, whole)


def test_spellings_and_types_give_the_same_parameters(model_state) -> None:
    expected = convert.reactface(model_state, MODEL)
    newer = {
        name.replace(f"{POSITION}.weight_g", f"{POSITION}.parametrizations.weight.original0").replace(
            f"{POSITION}.weight_v", f"{POSITION}.parametrizations.weight.original1"
        ): array
        for name, array in model_state.items()
    }
    assert newer.keys() != model_state.keys()
    assert_trees_equal(expected, convert.reactface(newer, MODEL))
    parallel = {f"module.{name}": torch.from_numpy(array).double() for name, array in model_state.items()}
    assert_trees_equal(expected, convert.reactface(parallel, MODEL))


def test_the_goldens_names_are_all_known(goldens: Path) -> None:
    """Real names, of a file that is not ours."""
    spec = json.loads((goldens / "reactface_spec_d64.json").read_text())
    state = {name: np.zeros(shape, np.float32) for name, shape in spec.items()}
    config = convert.infer_model_config(state)
    assert (config.feature_dim, config.interaction_layers, config.audio.num_layers) == (64, 2, 2)
    _, report = convert.reactface_with_report(state, config)
    assert report.zeroed == ["speaker_encoder/audio_encoder/masked_spec_embed"]
    assert sum(map(len, report.ignored.values())) == 38  # lm_head and transformer_listener_vectors


def test_without_the_mask_embedding_it_is_zero_and_said(model_state, caplog) -> None:
    state = {name: array for name, array in model_state.items() if not name.endswith("masked_spec_embed")}
    params = convert.reactface(state, MODEL)
    embedding = params["speaker_encoder"]["audio_encoder"]["masked_spec_embed"]
    assert embedding.shape == (24,)
    assert not np.any(embedding)
    assert "masked_spec_embed" in caplog.text


def test_sizes_are_inferred_and_the_rest_is_kept(model_state) -> None:
    base = ModelConfig(momentum=0.5, num_heads=4, audio=AudioConfig(num_heads=4, hidden_dropout=0.0))
    expected_audio = dataclasses.replace(AUDIO, hidden_dropout=0.0)
    expected = dataclasses.replace(MODEL, momentum=0.5, num_heads=4, audio=expected_audio)
    assert convert.infer_model_config(model_state, base) == expected


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("feature_dim", 32, 16),
        ("interaction_layers", 3, 1),
        ("audio.hidden_size", 48, 24),
        ("audio.num_layers", 12, 1),
        ("audio.intermediate_size", 64, 20),
        ("audio.conv_dim", 512, 8),
        ("audio.num_conv_pos_embeddings", 128, 6),
        ("audio.num_conv_pos_groups", 8, 4),
    ],
)
def test_a_config_that_disagrees_is_refused_with_field_and_values(model_state, field, value, found) -> None:
    if field.startswith("audio."):
        config = dataclasses.replace(MODEL, audio=dataclasses.replace(AUDIO, **{field.removeprefix("audio."): value}))
    else:
        config = dataclasses.replace(MODEL, **{field: value})
    with pytest.raises(UserError, match=rf"model\.{field} is {value} .* has {found}$"):
        convert.reactface(model_state, config)


def test_a_model_with_parts_switched_off_has_no_place_for_them(model_state) -> None:
    with pytest.raises(UserError, match=r"no place for \d+ parameters .*past_speech_decoder.*switched on"):
        convert.reactface(model_state, dataclasses.replace(MODEL, use_audio=False))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s: {}, "is empty"),
        (
            lambda s: {"conv1.weight": np.zeros(3), "fc.bias": np.zeros(1)},
            r"another model's .* conv1\.weight, fc\.bias",
        ),
        (lambda s: change(s, mu_token=None), r"lacks 1 of the model's keys \(interaction_VAE\.mu_token\)"),
        (
            lambda s: {name: array for name, array in s.items() if not name.startswith("video_encoder")},
            r"lacks 7 of .*conv1\.weight.* and 3 more",
        ),
        (lambda s: s | {"extra.weight": np.zeros(1)}, r"has 1 keys that are no part of the model \(extra\.weight\)"),
        (lambda s: change(s | {"more": np.zeros(1)}, mu_token=None), "lacks 1 .* and has 1 keys"),
        (lambda s: s | {"module.interaction_VAE.mu_token": np.zeros(16)}, r"mu_token is there twice"),
        (lambda s: change(s, mu_token=np.zeros(15)), r"mu_token has shape \[15\].*mean_token of shape \[16\]"),
        (lambda s: change(s, mu_token=np.full(16, np.nan)), "mu_token has NaN"),
        (lambda s: change(s, mu_token="hello"), "mu_token is str, expected a tensor"),
        (
            lambda s: change(s, **{"plm2sm.layers.0.linear1.weight": np.zeros(3)}),
            r"linear1\.weight has shape \[3\], which is none of this model's",
        ),
        (
            lambda s: change(s, **{"audio_feature_map.weight": np.zeros(3)}),
            r"audio_feature_map\.weight has shape \[3\]",
        ),
    ],
)
def test_wrong_state_dicts_get_one_sentence(model_state, wrong: Callable, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        convert.reactface(wrong(model_state), MODEL)
    assert "\n" not in str(raised.value)


# wav2vec 2.0


def test_wav2vec2_with_and_without_prefix_and_head(audio_state) -> None:
    expected, report = convert.wav2vec2_with_report(audio_state, AUDIO)
    assert [key for keys in report.ignored.values() for key in keys] == ["lm_head.bias", "lm_head.weight"]
    bare = {name.removeprefix("wav2vec2."): x for name, x in audio_state.items() if not name.startswith("lm_head")}
    assert_trees_equal(expected, convert.wav2vec2(bare, AUDIO))
    with pytest.raises(UserError, match=r"masked_spec_embed is there twice, with wav2vec2\. and without"):
        convert.wav2vec2(audio_state | {"masked_spec_embed": np.zeros(1)}, AUDIO)
    with pytest.raises(UserError, match=r"model\.audio\.num_layers is 12 .* has 1$"):
        convert.wav2vec2(audio_state, dataclasses.replace(AUDIO, num_layers=12))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "hubert"),
        ("feat_extract_norm", "layer"),
        ("do_stable_layer_norm", True),
        ("conv_bias", True),
        ("hidden_act", "relu"),
        ("feat_extract_activation", "relu"),
        ("add_adapter", True),
        ("adapter_attn_dim", 16),
        ("layer_norm_eps", 1e-6),
        ("conv_kernel", [10, 3, 3, 3, 3, 2, 3]),
        ("conv_stride", [5, 2, 2, 2, 2, 2, 1]),
        ("conv_dim", [8, 8, 8, 8, 8, 8, 16]),
        ("conv_dim", [8] * 6),
    ],
)
def test_other_architectures_are_refused(field: str, value: object) -> None:
    description = hugging_face_config().to_dict()
    assert wav2vec2_table.audio_config(description) == dataclasses.replace(AUDIO, feature_dropout=0.25)
    with pytest.raises(UserError, match=f"^{field} is "):
        wav2vec2_table.audio_config(description | {field: value})


def test_a_description_without_spec_augment_turns_it_off() -> None:
    description = {"model_type": "wav2vec2", "apply_spec_augment": False}
    assert wav2vec2_table.audio_config(description) == AudioConfig(mask_time_prob=0.0)
