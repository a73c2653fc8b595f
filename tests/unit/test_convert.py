"""Conversion: strict both ways, back to PyTorch unchanged, and one sentence for every wrong file."""

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

from reactface_jax import convert
from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.convert import __main__ as command
from reactface_jax.convert import reactface_table, wav2vec2_table
from reactface_jax.convert.layouts import CONV_1D, CONV_3D, DENSE, PACKED_BIAS, PACKED_DENSE, SAME, TAP_GAIN
from reactface_jax.convert.mapping import to_state_dict
from reactface_jax.errors import UserError
from reactface_jax.params_file import load_params, save_params

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


@pytest.fixture(scope="module")
def model_state() -> dict[str, np.ndarray]:
    """A state dict of the authors' model, small: every shape by way of the model's own, every value different."""
    shapes = convert._reactface_template(MODEL)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)
    state = to_state_dict(params, reactface_table.table(AUDIO.num_layers, MODEL.interaction_layers))
    return state | {name: rng.standard_normal(shape, np.float32) for name, shape in UNUSED.items()}


@pytest.fixture(scope="module")
def audio_state() -> dict[str, torch.Tensor]:
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


# Files and the command line


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["convert", *map(str, words)])
    command.main()


def fails(monkeypatch, capsys, out: Path, *words: object) -> str:
    """Runs the command, which must end with code 2 and one line, and leave nothing behind. Returns the line."""
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *words, "--out", out)
    assert ended.value.code == 2
    printed, errors = capsys.readouterr()
    assert printed == ""  # a file's code would have printed
    lines = errors.strip().splitlines()
    assert len(lines) == 1
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}*"))
    return lines[0]


def torch_file(path: Path, state: dict, **others: object) -> Path:
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save({"epoch": 7, "state_dict": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5}]}}, path)
    return path


def config_file(path: Path, feature_dim: int) -> Path:
    model = dataclasses.replace(MODEL, feature_dim=feature_dim, momentum=0.25)
    path.write_text(f"from reactface_jax.config import *\nconfig = Config(model={model!r})\n")
    return path


def test_command_converts_an_authors_checkpoint(tmp_path, model_state, monkeypatch, capsys) -> None:
    checkpoint = torch_file(tmp_path / "best_checkpoint.pth", model_state)
    run(monkeypatch, "reactface", checkpoint, "--out", tmp_path / "deep" / "out")
    printed = capsys.readouterr().out
    for word in (
        "listener/synchroniser",
        "lm_head",
        "never called",
        "12 heads" if MODEL.num_heads == 12 else "8 heads",
    ):
        assert word in printed
    params, config = load_params(tmp_path / "deep" / "out")
    assert_trees_equal(params, convert.reactface(model_state, MODEL))
    audio = AudioConfig(**config["model"].pop("audio"))
    assert ModelConfig(**config["model"], audio=audio) == convert.infer_model_config(model_state)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_command_takes_a_bare_state_dict_and_a_config(tmp_path, model_state, monkeypatch) -> None:
    save_file(model_state, tmp_path / "state.safetensors")
    config = config_file(tmp_path / "mine.py", MODEL.feature_dim)
    run(monkeypatch, "reactface", tmp_path / "state.safetensors", "--out", tmp_path / "out", "--config", config)
    _, saved = load_params(tmp_path / "out")
    assert saved["model"]["momentum"] == 0.25
    assert saved["model"]["audio"]["num_heads"] == AUDIO.num_heads


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_command_converts_a_folder_of_transformers(tmp_path, audio_state, monkeypatch, capsys, weights) -> None:
    folder = hugging_face_folder(tmp_path / "model", audio_state, weights)
    run(monkeypatch, "wav2vec2", folder, "--out", tmp_path / "out")
    assert "lm_head.bias, lm_head.weight" in capsys.readouterr().out
    params, config = load_params(tmp_path / "out")
    assert AudioConfig(**config["audio"]) == dataclasses.replace(AUDIO, feature_dropout=0.25)
    assert_trees_equal(params, convert.wav2vec2(audio_state, AUDIO))


def hugging_face_folder(folder: Path, state: dict, weights: str = "model.safetensors") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(hugging_face_config().to_dict()))
    if weights.endswith(".bin"):
        torch.save(state, folder / weights)
    else:
        save_file({name: tensor.numpy() for name, tensor in state.items()}, folder / weights)
    return folder


class _Code:
    def __reduce__(self) -> tuple:
        return print, ("code in a checkpoint has run",)


def _truncated(path: Path, state: dict) -> None:
    whole = torch_file(path, state).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p, s: None, "does not exist"),
        (lambda p, s: p.mkdir(), "is a folder"),
        (lambda p, s: p.write_bytes(b""), "is empty"),
        (lambda p, s: p.write_text("\n<!DOCTYPE html><title>404</title>"), "web page"),
        (lambda p, s: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "git lfs pull"),
        (lambda p, s: p.write_text("hello, I am not a checkpoint"), "damaged or no checkpoint"),
        (_truncated, "damaged or incomplete"),
        (lambda p, s: p.write_bytes(pickle.dumps({"state_dict": _Code()}, protocol=2)), "run code"),
        (lambda p, s: p.write_bytes(pickle.dumps({"state_dict": _Code()}, protocol=5)), "nothing in it was run"),
        (lambda p, s: torch.save({"state_dict": _Code()}, p), "run code"),
        (lambda p, s: torch.save([1, 2], p), "holds list"),
        (lambda p, s: torch.save({3: torch.zeros(2)}, p), "its keys are not names"),
        (lambda p, s: torch.save({"epoch": 1, "lr": 0.1}, p), "no state dict; its entries are epoch, lr"),
        (lambda p, s: torch.save({"state_dict": torch.nn.Linear(2, 3).state_dict()}, p), "another model's"),
        (lambda p, s: torch_file(p, change(s, mu_token=None)), r"lacks 1 .*interaction_VAE\.mu_token"),
        (lambda p, s: torch_file(p, s | {"extra.bias": np.zeros(2)}), r"has 1 keys .*extra\.bias"),
    ],
)
def test_wrong_checkpoints_get_one_sentence(tmp_path, model_state, monkeypatch, capsys, write, message) -> None:
    checkpoint = tmp_path / "best_checkpoint.pth"
    write(checkpoint, model_state)
    line = fails(monkeypatch, capsys, tmp_path / "out", "reactface", checkpoint)
    assert str(checkpoint) in line
    with pytest.raises(UserError, match=message):
        raise UserError(line)


def test_a_damaged_safetensors_file_gets_one_sentence(tmp_path, model_state, monkeypatch, capsys) -> None:
    path = tmp_path / "state.safetensors"
    save_file(model_state, path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged or incomplete" in fails(monkeypatch, capsys, tmp_path / "out", "reactface", path)


def test_command_refuses_a_config_that_disagrees(tmp_path, model_state, monkeypatch, capsys) -> None:
    checkpoint = torch_file(tmp_path / "best.pth", model_state)
    config = config_file(tmp_path / "mine.py", 32)
    line = fails(monkeypatch, capsys, tmp_path / "out", "reactface", checkpoint, "--config", config)
    assert "model.feature_dim is 32 in the configuration, but the state dict has 16" in line


def test_command_keeps_what_is_there(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(SystemExit):
        run(monkeypatch, "wav2vec2", tmp_path, "--out", tmp_path / "out")
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "neither model.safetensors nor pytorch_model.bin"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("<html>404"), "no JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "no configuration of a model"),
        (lambda f: (f / "config.json").write_text("{}"), "model_type is None"),
        (lambda f: (f / "config.json").write_text('{"model_type": "wav2vec2"}'), "model.audio.hidden_size is 768"),
    ],
)
def test_wrong_folders_get_one_sentence(tmp_path, audio_state, monkeypatch, capsys, damage, message) -> None:
    folder = hugging_face_folder(tmp_path / "model", audio_state)
    damage(folder)
    line = fails(monkeypatch, capsys, tmp_path / "out", "wav2vec2", folder)
    assert str(folder) in line
    assert message in line


def test_a_name_that_the_hub_does_not_give(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    def offline(name: str, file: str) -> None:
        raise OSError(f"We couldn't connect to load {file} of {name}.\nCheckout your internet connection.")

    monkeypatch.setattr("transformers.utils.cached_file", offline)
    line = fails(monkeypatch, capsys, tmp_path / "out", "wav2vec2", "facebook/wav2vec2-base-960h")
    assert "facebook/wav2vec2-base-960h is no folder here, and the hub does not give it" in line
    line = fails(monkeypatch, capsys, tmp_path / "out", "wav2vec2", tmp_path / "a" / "b" / "c")
    assert "is no folder; give one" in line


def test_a_hub_id_is_read_through_transformers(tmp_path, audio_state, monkeypatch) -> None:
    folder = hugging_face_folder(tmp_path / "cache", audio_state)
    asked = []

    def cached_file(name: str, file: str, **_: object) -> str:
        asked.append((name, file))
        return str(folder / file)

    monkeypatch.setattr("transformers.utils.cached_file", cached_file)
    run(monkeypatch, "wav2vec2", "some/model", "--out", tmp_path / "out")
    assert asked == [("some/model", "config.json"), ("some/model", "model.safetensors")]
    assert_trees_equal(load_params(tmp_path / "out")[0], convert.wav2vec2(audio_state, AUDIO))


# Folders of parameters


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "params.safetensors").unlink(), "has no params.safetensors"),
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "config.json is no JSON"),
        (lambda d: (d / "params.safetensors").write_bytes(b"12345678"), "params.safetensors is damaged"),
    ],
)
def test_damaged_parameter_folders_get_one_sentence(tmp_path, damage, message) -> None:
    save_params(tmp_path / "out", {"a": {"b": np.ones(2, np.float32)}}, {"audio": AUDIO})
    damage(tmp_path / "out")
    with pytest.raises(UserError, match=message):
        load_params(tmp_path / "out")


def test_parameters_that_cannot_be_written_leave_nothing(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't be written"):
        save_params(tmp_path / "file" / "out", {"a": np.ones(1, np.float32)}, {})
