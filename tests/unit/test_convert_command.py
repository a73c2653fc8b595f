"""The conversion command and its files: what it writes, and one sentence for every wrong file."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle.checkpoints import AUDIO, MODEL, assert_trees_equal, audio_state, change, hugging_face_config, model_state
from safetensors.numpy import save_file

from reactface_jax import convert
from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.convert import __main__ as command
from reactface_jax.errors import UserError
from reactface_jax.weights.params_file import load_params, save_params


@pytest.fixture(scope="module", name="model_state")
def _model_state() -> dict[str, np.ndarray]:
    return model_state()


@pytest.fixture(scope="module", name="audio_state")
def _audio_state() -> dict[str, torch.Tensor]:
    return audio_state()


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
        (lambda f: (f / "config.json").write_text("<html>404"), "is not JSON"),
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
        (lambda d: (d / "config.json").write_text("{"), "config.json is damaged: it is not what was written"),
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
