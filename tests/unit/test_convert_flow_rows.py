"""Checkpoints of LFI and Zhou et al.: released names at full size, strict both ways, one sentence for another file."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from goldens.fill import fill

from reactface_jax import convert
from reactface_jax.config.lfi import LfiConfig
from reactface_jax.config.zhou import ZhouConfig
from reactface_jax.convert import __main__ as command
from reactface_jax.convert.methods import method_with_report
from reactface_jax.errors import UserError
from reactface_jax.methods import Inputs
from reactface_jax.methods.lfi import sampling
from reactface_jax.methods.lfi.loss import bits
from reactface_jax.weights.params_file import load_params

GOLDENS = Path(__file__).parents[1] / "goldens"
PREFIX = {"lfi": "seq_glow.", "zhou": "module."}
FULL_SIZE = {
    "lfi_58": ("lfi", LfiConfig(released=True)),
    "lfi_released": ("lfi", LfiConfig(channels=56, own_speech=True, released=True)),
    "vico_listener_58": ("zhou", ZhouConfig(released=True)),
    "vico_listener_released": ("zhou", ZhouConfig(channels=73, audio_features=45, released=True)),
}


def full_size(file: str, prefix: str) -> dict[str, np.ndarray]:
    """A state dict of the released names and shapes, whose arrays take no memory."""
    shapes = json.loads((GOLDENS / "keys" / f"{file}.json").read_text())
    state = {f"{prefix}{name}": np.broadcast_to(np.float32(0.5), shape) for name, shape in shapes.items()}
    return {
        name: np.eye(len(value), dtype=np.float32) if name.endswith("invconv.p") else value
        for name, value in state.items()
    }


def small(name: str) -> dict[str, np.ndarray]:
    """The golden's state dict, with its buffers."""
    spec = json.loads((GOLDENS / ("lfi_spec.json" if name == "lfi" else "vico_spec.json")).read_text())
    state = {PREFIX[name] + key: fill(key, tuple(shape)) for key, shape in spec.items()}
    if name == "lfi":
        with np.load(GOLDENS / "lfi_a.npz") as golden:
            for index, (rows, sign) in enumerate(zip(golden["p_rows"], golden["sign_s"], strict=True)):
                layer = f"seq_glow.glow.flow.layers.{index}.invconv"
                state |= {f"{layer}.p": np.eye(len(rows), dtype=np.float32)[rows], f"{layer}.sign_s": sign}
        state["last_missmatched_nll"] = np.asarray(np.inf, np.float32)
    return state


@pytest.mark.parametrize("file", FULL_SIZE)
def test_released_names_and_sizes(file: str):
    name, config = FULL_SIZE[file]
    converted = method_with_report(name, full_size(file, PREFIX[name]))
    assert converted.config == config
    expected = jax.eval_shape(converted.method.init, jax.random.key(0))
    found = converted.variables
    shapes = jax.tree.map(np.shape, (dict(found.params), dict(found.state)))
    assert shapes == jax.tree.map(np.shape, (dict(expected.params), dict(expected.state)))
    assert not converted.report.ignored
    assert not converted.report.zeroed


def test_lfis_golden_through_the_conversion():
    golden = dict(np.load(GOLDENS / "lfi_a.npz"))
    row, variables = convert.method("lfi", small("lfi"))
    assert variables.state["has_actnorm"]
    assert np.isinf(variables.state["mismatched_log_likelihood"])
    arrays = {"params": variables.params, "fixed": variables.state["fixed"]}

    @jax.jit
    def run(face: Any, other_face: Any, other_speech: Any, noise: Any) -> Any:
        other = row.network.apply(arrays, other_face, other_speech, method="other")
        z, log_determinant = row.network.apply(arrays, face, other, method="forward")
        _, drawn = sampling.sample(row.network, arrays, sampling.start(row.network, 3, 1), other, noise[:, None])
        return bits(z, log_determinant), drawn[:, 0]

    found = run(*(golden[name] for name in ("face", "other_face", "other_speech", "noise")))
    for name, value in zip(("bits_released", "sampled"), found, strict=True):
        np.testing.assert_allclose(value, golden[name], rtol=0, atol=1e-5 * np.abs(golden[name]).max(), err_msg=name)


def test_zhous_golden_through_the_conversion():
    golden = dict(np.load(GOLDENS / "vico_a.npz"))
    row, variables = convert.method("zhou", small("zhou"))
    params = {"params": variables.params}
    state = row.network.apply(params, jnp.asarray(golden["first"]), method="start")
    _, hidden = row.network.apply(params, jnp.asarray(golden["audio"]), jnp.asarray(golden["speaker"]), state)
    output = row.network.apply(params, hidden, method="frames")[0]  # the first clip has no padding
    np.testing.assert_allclose(output, golden["output"][0], rtol=0, atol=1e-5 * np.abs(golden["output"]).max())


def test_a_converted_row_answers_what_it_can_hear():
    row, variables = convert.method("zhou", full_size("vico_listener_released", ""))
    seen = Inputs(speaker=jnp.zeros((1, 2, 73)), audio=jnp.zeros((1, 1280)))
    with pytest.raises(UserError, match="hear 45 numbers a frame, and 16 kHz gives 82"):
        row.answer(variables, seen, 1, keys=jax.random.split(jax.random.key(0), 1))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lfi", lambda s: s.pop("seq_glow.glow.flow.layers.0.actnorm.bias"), "another model's.*it lacks glow.flow"),
        ("lfi", lambda s: s.pop("seq_glow.glow.flow.layers.1.invconv.p"), "lacks 1 of the model's keys .glow.flow"),
        ("lfi", lambda s: s.update(more=np.zeros(3)), "has 1 keys that are no part of the model .more"),
        (
            "lfi",
            lambda s: s.update({"glow.flow.layers.0.actnorm.bias": np.zeros((1, 58))}),
            r"glow\.flow\.layers\.0\.actnorm\.bias is there twice, with seq_glow\. and without",
        ),
        (
            "lfi",
            lambda s: s.update({"seq_glow.glow.flow.layers.2.invconv.p": np.ones((58, 58))}),
            r"glow.flow.layers.2.invconv.p is no permutation; the checkpoint is damaged",
        ),
        (
            "lfi",
            lambda s: s.update({"seq_glow.glow.flow.layers.0.f.cond_transform.0.weight": np.ones((24, 339))}),
            "takes 339 numbers, which leaves no whole frames of 58 channels",
        ),
        ("lfi", lambda s: s.update(last_missmatched_nll=np.asarray(np.nan)), "last_missmatched_nll has NaN"),
        ("zhou", lambda s: s.pop("module.dynam_3dmm_fc.weight"), "another model's.*lacks dynam_3dmm_fc.weight"),
        ("zhou", lambda s: s.pop("module.fusion.fusion.0.bias"), "lacks 1 of the model's keys .fusion.fusion.0.bias"),
        ("zhou", lambda s: s.update(extra=np.zeros(1)), "has 1 keys that are no part of the model .extra"),
        (
            "zhou",
            lambda s: s.update({"module.fusion.lstm_layers.weight_hh_l1": np.zeros((64, 8))}),
            "weight_hh_l1 has shape .64, 8., which does not fit hidden_1",
        ),
    ],
)
def test_strict_both_ways(name: str, change: Any, message: str):
    state = small(name)
    change(state)
    with pytest.raises(UserError, match=message):
        convert.method(name, state)


def checkpoint(folder: Path, name: str) -> Path:
    path = folder / f"{name}.ckpt"
    torch.save({"epoch": 3, "state_dict": {key: torch.from_numpy(value) for key, value in small(name).items()}}, path)
    return path


@pytest.mark.parametrize("name", ["lfi", "zhou"])
def test_command(tmp_path: Path, name: str, capsys: pytest.CaptureFixture):
    command.main([name, str(checkpoint(tmp_path, name)), "--out", str(tmp_path / "out")])
    assert "parameters" in capsys.readouterr().out
    trees, config = load_params(tmp_path / "out")
    assert config["method"] == name
    assert config[name]["channels"] == 58
    _, variables = convert.method(name, small(name))
    saved = jax.tree.map(np.asarray, (trees["params"], trees["state"]))
    jax.tree.map(np.testing.assert_array_equal, saved, (dict(variables.params), dict(variables.state)))
    shapes = jax.tree.map(np.shape, trees["state"])
    assert shapes == jax.tree.map(np.shape, dict(variables.state))  # numbers stay numbers


@pytest.mark.parametrize(("name", "other"), [("lfi", "zhou"), ("zhou", "lfi")])
def test_command_refuses_another_models_file_in_one_sentence(
    tmp_path: Path, name: str, other: str, capsys: pytest.CaptureFixture
):
    path = checkpoint(tmp_path, other)
    with pytest.raises(SystemExit) as ended:
        command.main([name, str(path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "this is another model's state dict: it lacks" in lines[0]
    assert str(path) in lines[0]
    assert not (tmp_path / "out").exists()
