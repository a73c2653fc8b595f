"""Our model against inputs and outputs of the authors' code, which lie beside the repository (skipped elsewhere)."""

import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

import reactface_jax as rf
from reactface_jax import convert, losses
from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.models.speaker_encoder import SpeakerEncoder

pytestmark = pytest.mark.usefixtures("goldens")

AUDIO = AudioConfig(num_layers=2, intermediate_size=64, conv_dim=16, num_conv_pos_embeddings=16)


class Case(NamedTuple):
    model: rf.ReactFace
    params: dict
    video: np.ndarray
    audio: np.ndarray
    golden: dict[str, np.ndarray]


def load(goldens: Path, name: str, input_seed: int) -> Case:
    """A golden file with its model, weights and inputs."""
    golden = dict(np.load(goldens / name))
    meta = json.loads(str(golden["meta"]))
    config = ModelConfig(
        feature_dim=meta["feature_dim"], window=meta["window"], momentum=meta["momentum"], dropout=0.1, audio=AUDIO
    )
    rng = np.random.default_rng([0, input_seed])
    video = rng.uniform(-1, 1, (meta["B"], meta["T"], 3, meta["H"], meta["H"])).astype(np.float32)
    audio = rng.standard_normal((meta["B"], 640 * meta["T"])).astype(np.float32)
    params = convert.reactface(state_dict(goldens, meta["seed"]), config)
    return Case(rf.build_model(config), params, np.moveaxis(video, 2, -1), audio, golden)


def state_dict(goldens: Path, seed: int) -> dict[str, np.ndarray]:
    """The weights that the authors' model had: a recipe in the goldens' folder turns names into values."""
    spec = importlib.util.spec_from_file_location("fill", goldens / "fill.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    shapes = json.loads((goldens / "reactface_spec_d64.json").read_text())
    return {name: recipe.fill(name, tuple(shape), seed) for name, shape in shapes.items()}


def assert_close(ours: jax.Array, golden: np.ndarray, tolerance: float = 1e-5) -> None:
    """Largest difference over largest magnitude."""
    assert ours.shape == golden.shape
    np.testing.assert_allclose(ours, golden, rtol=0, atol=tolerance * np.abs(golden).max())


@pytest.fixture(scope="module")
def reactface_a(goldens: Path) -> Case:
    return load(goldens, "reactface_a.npz", input_seed=1)


def test_clip_protocol_stage_by_stage(reactface_a: Case):
    model, params, video, audio, golden = reactface_a

    @jax.jit
    def react(params, video, audio, noise):
        return model.apply(
            {"params": params},
            video,
            audio,
            num_reactions=1,
            noise=noise,
            capture_intermediates=lambda module, method: isinstance(module, SpeakerEncoder) and method == "__call__",
        )

    reactions, captured = react(params, video, audio, golden["eps"][:, None])
    features = captured["intermediates"]["speaker_encoder"]["__call__"][0]
    for ours, name in [
        (features.video, "video_features"),
        (features.wav2vec2, "wav2vec2_features"),
        (features.speech, "speech_features"),
        (features.vector, "speaker_vector"),
        (features.motion, "aligned_speaker_motion"),
        (reactions.mean[:, 0], "mu"),
        (reactions.std[:, 0], "std"),
        (reactions.listener[:, 0], "listener_3dmm"),
        (reactions.speaker, "speaker_3dmm"),
    ]:
        assert_close(ours, golden[name])


@pytest.mark.parametrize("protocol", ["prefix", "window"])
def test_generate(reactface_a: Case, protocol: str):
    model, params, video, audio, golden = reactface_a
    noise = golden[f"online_{protocol}_eps"][:, None]
    reactions = rf.generate(model, params, video, audio, protocol=protocol, num_reactions=1, noise=noise)
    assert_close(reactions[:, 0], golden[f"online_{protocol}_3dmm"])


def test_losses_and_gradient_norms(goldens: Path):
    model, params, video, audio, golden = load(goldens, "losses_a.npz", input_seed=2)

    def loss(params):
        reactions = model.apply({"params": params}, video, audio, num_reactions=3, noise=golden["eps"])
        total, parts = losses.total(reactions, golden["speaker_3dmm"], golden["neighbours"])
        return total, (parts, losses.validation(reactions, golden["neighbours"][:, 0]), reactions.listener)

    (total, (parts, (validation, validation_parts), listener)), gradients = jax.jit(
        jax.value_and_grad(loss, has_aux=True)
    )(params)
    for ours, name in [
        (listener, "listener"),
        (parts["reconstruction"], "rec"),
        (parts["kl"], "kld"),
        (parts["diversity"], "div"),
        (parts["smooth"], "smooth"),
        (parts["speaker"], "speaker_rec"),
        (parts["reconstruction"] + 1e-5 * parts["kl"], "neighbour_loss"),
        (validation_parts["reconstruction"], "vae_rec"),
        (validation, "vae_loss"),
        (total, "total"),
    ]:
        assert_close(ours, golden[name])

    norms = {name: np.linalg.norm(value) for name, value in convert.to_reactface(gradients).items()}
    for name, norm in json.loads(str(golden["grad_norms"])).items():
        ours = norms.get(
            name.replace("parametrizations.weight.original0", "weight_g").replace(
                "parametrizations.weight.original1", "weight_v"
            ),
            0,
        )
        if norm is None:  # unused or frozen
            assert ours == 0, name
        elif name.endswith("k_proj.bias"):  # zero but for rounding: softmax forgets what all keys share
            assert ours < 1e-5, name
        else:
            assert ours == pytest.approx(norm, rel=1e-4), name
