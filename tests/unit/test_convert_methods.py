"""Checkpoints of Ng et al., BeLFusion and Trans-VAE: released names at full size, strict both ways, one sentence."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from oracle.golden_state import golden_state

from reactface_jax import convert
from reactface_jax.config.belfusion import BelfusionConfig
from reactface_jax.config.ng import NgConfig
from reactface_jax.config.trans_vae import TransVaeConfig
from reactface_jax.convert import __main__ as command
from reactface_jax.convert.methods import method_with_report
from reactface_jax.errors import UserError
from reactface_jax.weights.params_file import load_params

KINDS = ("mean", "std")
KEYS = Path(__file__).parents[1] / "goldens" / "keys"
RELEASED = {
    "ng": ("ng", ("l2l_vqvae", "l2l_predictor"), NgConfig(channels=56, released=True)),
    "belfusion": (
        "belfusion",
        ("belfusion_vae", "belfusion_denoiser"),
        BelfusionConfig(attributes=True, released=True),
    ),
    "offline": ("trans-vae", ("transvae_offline",), TransVaeConfig(attributes=True, released=True)),
    "online": ("trans-vae", ("transvae_online",), TransVaeConfig(attributes=True, online=True, released=True)),
}


def full_size(*files: str) -> dict[str, np.ndarray]:
    """A state dict of the released names and shapes, whose arrays take no memory."""
    shapes = {}
    for file in files:
        shapes |= json.loads((KEYS / f"{file}_released.json").read_text())
    return {f"module.{name}": np.broadcast_to(np.float32(0.5), shape) for name, shape in shapes.items()}


def with_statistics(state: dict[str, np.ndarray], width: int) -> dict[str, np.ndarray]:
    return state | {f"statistics.{name}": np.full(width, i, np.float32) for i, name in enumerate(("min", "max", "std"))}


@pytest.mark.parametrize(("name", "files", "config"), RELEASED.values(), ids=RELEASED)
def test_released_names_and_sizes(name, files, config) -> None:
    state = full_size(*files)
    if name == "belfusion":
        state = with_statistics(state, 128)
    converted = method_with_report(name, state)
    assert converted.config == config
    expected = jax.eval_shape(converted.method.init, jax.random.key(0))
    shapes = jax.tree.map(np.shape, (dict(converted.variables.params), dict(converted.variables.state)))
    assert shapes == jax.tree.map(np.shape, (dict(expected.params), dict(expected.state)))
    assert set(converted.report.ignored) <= {
        "counter of a norm, no parameter",
        "defined by the authors' code but never called",
        "the layer's linear_emb under a second name",
        "table of positional encodings, computed here",
        "used online only",
        "latents are scaled by their smallest and largest values",
    }


def small(goldens: Path, name: str) -> list[dict[str, np.ndarray]]:
    """State dicts as they come, a file each."""
    if name == "ng":
        return [golden_state(goldens / f"l2l_{part}_spec.json") for part in ("vqvae", "predictor")]
    if name == "trans-vae":
        return [golden_state(goldens / "transvae_spec.json")]
    both = golden_state(goldens / "belfusion_spec.json")
    denoiser = {k.removeprefix("denoiser."): value for k, value in both.items() if k.startswith("denoiser.")}
    return [{k: value for k, value in both.items() if not k.startswith("denoiser.")}, denoiser]


def ng_statistics(least: float) -> dict[str, np.ndarray]:
    """Zeros and ones as means and deviations, but for the face's first deviation."""
    sizes = {"X": 58, "Y": 58, "audio": 128}
    arrays = {f"statistics.body_{kind}_{of}": np.full(n, kind == "std") for of, n in sizes.items() for kind in KINDS}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    arrays["statistics.body_std_X"][0] = least
    return arrays


def joined(goldens: Path, name: str) -> dict[str, np.ndarray]:
    state = {key: value for part in small(goldens, name) for key, value in part.items()}
    return with_statistics(state, 24) if name == "belfusion" else state


def test_from_python(goldens) -> None:
    state = joined(goldens, "ng")
    method, variables = convert.method("ng", state)
    assert method.config.channels == 58
    np.testing.assert_array_equal(variables.params["vqvae"]["codebook"], state["quantize.embedding.weight"])
    np.testing.assert_array_equal(variables.state["moments"]["face"]["std"], np.ones(58))
    norm = variables.state["batch_stats"]["predictor"]["compress_2"]["norm"]
    np.testing.assert_array_equal(norm["variance"], state["post_compressor.2.2.running_var"])
    method, variables = convert.method("belfusion", joined(goldens, "belfusion"))
    np.testing.assert_array_equal(variables.state["latent_maximum"], np.ones(24))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ng", lambda s: s.pop("quantize.embedding.weight"), "another model's.*lacks quantize.embedding.weight"),
        ("ng", lambda s: s.pop("decoder.expander.2.2.running_var"), "lacks 1 of the model's keys"),
        ("ng", lambda s: s.update(more=np.zeros(3)), "has 1 keys that are no part of the model .more"),
        ("ng", lambda s: s.update({"motion_projector.weight": np.zeros((80, 56))}), "58 coefficients.*predictor 56"),
        ("ng", lambda s: s.update({"listener_past_tok_embedding.weight": np.zeros((9, 40))}), "20 codes.*predictor 9"),
        ("ng", lambda s: s.update({"statistics.body_mean_X": np.zeros(58)}), "the statistics lack body_std_X"),
        ("ng", lambda s: s.update({"statistics.body_std_Y": np.ones(58)}), "the statistics lack body_mean_X"),
        ("ng", lambda s: s.update(ng_statistics(0.0)), "statistics.body_std_X has numbers that are not above 0"),
        ("ng", lambda s: s.update(ng_statistics(-1.0)), "statistics.body_std_X has numbers that are not above 0"),
        ("ng", lambda s: s.update({"statistics.more": np.zeros(1)}), "1 arrays that are not known .statistics.more"),
        ("belfusion", lambda s: s.pop("statistics.min"), "has no statistics, min of its latents"),
        ("belfusion", lambda s: s.update({"statistics.max": np.zeros(3)}), "statistics.max has 3 numbers, but .* 24"),
        ("belfusion", lambda s: s.update({"statistics.p": np.zeros(1)}), "1 arrays that are not known .statistics.p"),
        ("belfusion", lambda s: s.update({"d_out.weight": np.zeros((7, 16))}), "the VAE has 7 channels; 25 attributes"),
        ("belfusion", lambda s: s.pop("layers.1.norm.weight"), "lacks 1 of the model's keys .layers.1.norm.weight"),
        ("trans-vae", lambda s: s.pop("fusion.bias"), "lacks 1 of the model's keys .fusion.bias"),
        ("trans-vae", lambda s: s.update(extra=np.zeros(1)), "has 1 keys that are no part of the model .extra"),
    ],
)
def test_strict_both_ways(goldens, name, change, message) -> None:
    state = joined(goldens, name)
    change(state)
    with pytest.raises(UserError, match=message):
        convert.method(name, state)


def test_a_row_without_checkpoints() -> None:
    with pytest.raises(UserError, match="no checkpoints of mirror are converted; give ng, "):
        convert.method("mirror", {"a": np.zeros(1)})


def files_of(folder: Path, goldens: Path, name: str) -> list[Path]:
    paths = []
    for i, state in enumerate(small(goldens, name)):
        content: dict[str, object] = {"state_dict": {key: torch.from_numpy(value) for key, value in state.items()}}
        if name == "belfusion" and i == 0:
            content["statistics"] = {"min": -torch.ones(24), "max": 2 * torch.ones(24), "mean": torch.zeros(24)}
        paths.append(folder / f"{name}{i}.pth")
        torch.save(content, paths[-1])
    return paths


FLAGS = {"ng": ["--predictor"], "belfusion": ["--denoiser"], "trans-vae": []}


def words_of(name: str, paths: list[Path], out: Path) -> list[str]:
    more = [str(word) for pair in zip(FLAGS[name], paths[1:], strict=True) for word in pair]
    return [name, str(paths[0]), *more, "--out", str(out)]


@pytest.mark.parametrize("name", FLAGS)
def test_command(tmp_path, goldens, name, capsys) -> None:
    words = words_of(name, files_of(tmp_path, goldens, name), tmp_path / "out")
    if name == "ng":
        names = {"body_mean_X": 58, "body_std_X": 58, "body_mean_audio": 128, "body_std_audio": 128, "body_std_Y": 58}
        arrays = {key: np.full((1, size, 1), i, np.float32) for i, (key, size) in enumerate(names.items())}
        np.savez(tmp_path / "core.npz", **arrays)
        words += ["--statistics", str(tmp_path / "core.npz")]
    command.main(words)
    said = capsys.readouterr().out
    assert "parameters" in said
    assert ("latents are scaled by their smallest and largest values: statistics.mean" in said) == (name == "belfusion")
    assert ("speaker's moments for both people: statistics.body_std_Y" in said) == (name == "ng")
    trees, config = load_params(tmp_path / "out")
    assert config["method"] == name
    assert config[name.replace("-", "_")]["released"]
    if name == "ng":
        np.testing.assert_array_equal(trees["state"]["moments"]["sound"]["mean"], np.full(128, 2))
    if name == "belfusion":
        np.testing.assert_array_equal(trees["state"]["latent_maximum"], np.full(24, 2))


@pytest.mark.parametrize("name", FLAGS)
def test_command_refuses_another_models_file_in_one_sentence(tmp_path, goldens, name, capsys) -> None:
    others = files_of(tmp_path, goldens, "belfusion" if name == "ng" else "ng")[: 1 + len(FLAGS[name])]
    line = refused(words_of(name, others, tmp_path / "out"), capsys)
    assert "this is another model's state dict: it lacks" in line
    assert str(others[0]) in line
    assert not (tmp_path / "out").exists()


def test_command_refuses_one_file_in_two_places(tmp_path, goldens, capsys) -> None:
    vqvae, _ = files_of(tmp_path, goldens, "ng")
    line = refused(words_of("ng", [vqvae, vqvae], tmp_path / "out"), capsys)
    assert "is there twice, in two files; keep one of them" in line
    assert not (tmp_path / "out").exists()


def refused(words: list[str], capsys) -> str:
    """The one line that is said."""
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line
