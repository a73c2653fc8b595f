"""Our model, and the oracle that other tests trust, against inputs and outputs of the authors' code."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import torch
from goldens.fill import fill
from oracle import losses_torch, reactface_torch
from oracle.kinks import float64
from oracle.weights import older_spelling

import reactface_jax as rf
from reactface_jax import convert, losses
from reactface_jax.config import AudioConfig, LossConfig, ModelConfig
from reactface_jax.models.speaker_encoder import SpeakerEncoder

AUDIO = AudioConfig(num_layers=2, intermediate_size=64, conv_dim=16, num_conv_pos_embeddings=16)
LOSSES = {"reconstruction": "rec", "kl": "kld", "diversity": "div", "smooth": "smooth", "speaker": "speaker_rec"}


class Case(NamedTuple):
    """A golden file, with the configuration, weights and inputs that led to it."""

    config: ModelConfig
    weights: dict[str, np.ndarray]
    video: np.ndarray
    audio: np.ndarray
    golden: dict[str, np.ndarray]

    def model(self) -> tuple[rf.ReactFace, dict]:
        return rf.build_model(self.config), convert.reactface(self.weights, self.config)

    def oracle(self) -> tuple[reactface_torch.ReactFace, torch.Tensor, torch.Tensor]:
        """The oracle and its inputs."""
        oracle = reactface_torch.ReactFace(self.config).eval()
        oracle.load_state_dict({name: torch.tensor(value) for name, value in self.weights.items()})
        return oracle, torch.tensor(self.video), torch.tensor(self.audio)


def load(goldens: Path, name: str, input_seed: int) -> Case:
    golden = dict(np.load(goldens / name))
    meta = json.loads(str(golden["meta"]))
    config = ModelConfig(feature_dim=meta["feature_dim"], window=meta["window"], momentum=meta["momentum"], audio=AUDIO)
    rng = np.random.default_rng([0, input_seed])
    video = rng.uniform(-1, 1, (meta["B"], meta["T"], 3, meta["H"], meta["H"])).astype(np.float32)
    audio = rng.standard_normal((meta["B"], 640 * meta["T"])).astype(np.float32)
    return Case(config, weights(goldens, meta["seed"]), np.moveaxis(video, 2, -1), audio, golden)


def weights(goldens: Path, seed: int) -> dict[str, np.ndarray]:
    """The weights that the authors' model had: a recipe turns names into values."""
    shapes = json.loads((goldens / "reactface_spec_d64.json").read_text())
    return {name: fill(name, tuple(shape), seed) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def reactface_a(goldens: Path) -> Case:
    return load(goldens, "reactface_a.npz", input_seed=1)


@pytest.fixture(scope="module")
def losses_a(goldens: Path) -> Case:
    return load(goldens, "losses_a.npz", input_seed=2)


def assert_close(values: dict[str, jax.Array | torch.Tensor], golden: dict[str, np.ndarray]) -> None:
    """Largest difference over largest magnitude."""
    for name, value in values.items():
        assert value.shape == golden[name].shape, name
        tolerance = 1e-5 * np.abs(golden[name]).max()
        np.testing.assert_allclose(np.asarray(value), golden[name], rtol=0, atol=tolerance, err_msg=name)


def assert_gradient_norms_close(
    gradients: dict[str, np.ndarray], golden: dict[str, np.ndarray], tolerance: float
) -> None:
    for name, norm in json.loads(str(golden["grad_norms"])).items():
        ours = np.linalg.norm(gradients.get(older_spelling(name), 0))
        if norm is None:  # unused or frozen
            assert ours == 0, name
        elif name.endswith("k_proj.bias"):  # zero but for rounding: softmax forgets what all keys share
            assert ours < 1e-5, name
        else:
            assert ours == pytest.approx(norm, rel=tolerance), name


def test_clip_protocol_stage_by_stage(reactface_a: Case, as_users_compile: dict):
    """Compiled as users compile it."""
    model, params = reactface_a.model()

    @functools.partial(jax.jit, compiler_options=as_users_compile)
    def react(params, video, audio, noise):
        return model.apply(
            {"params": params},
            video,
            audio,
            noise=noise,
            capture_intermediates=lambda module, method: isinstance(module, SpeakerEncoder) and method == "__call__",
        )

    reactions, captured = react(params, reactface_a.video, reactface_a.audio, reactface_a.golden["eps"][:, None])
    features = captured["intermediates"]["speaker_encoder"]["__call__"][0]
    assert_close(
        {
            "video_features": features.video,
            "wav2vec2_features": features.wav2vec2,
            "speech_features": features.speech,
            "speaker_vector": features.vector,
            "aligned_speaker_motion": features.motion,
            "mu": reactions.mean[:, 0],
            "std": reactions.std[:, 0],
            "listener_3dmm": reactions.listener[:, 0],
            "speaker_3dmm": reactions.speaker,
        },
        reactface_a.golden,
    )


@pytest.mark.parametrize("protocol", ["prefix", "window"])
def test_online_protocols(reactface_a: Case, protocol: str):
    model, params = reactface_a.model()
    noise = reactface_a.golden[f"online_{protocol}_eps"][:, None]
    reactions = rf.generate(model, params, reactface_a.video, reactface_a.audio, protocol=protocol, noise=noise)
    assert_close({f"online_{protocol}_3dmm": reactions[:, 0]}, reactface_a.golden)


@pytest.mark.long
@pytest.mark.parametrize(("bits", "least"), [(10, 3e-4), (7, 2e-3)], ids=["TF32", "bfloat16"])
def test_rounded_products_miss_the_goldens_and_are_not_taken(
    reactface_a: Case, monkeypatch: pytest.MonkeyPatch, accelerator_forms: None, bits: int, least: float
):
    """Factors rounded as GPUs and TPUs do by default, wherever the program does not ask for exact products."""
    jax.clear_caches()  # so that everything is traced here
    for primitive in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p):

        def bind(*factors: jax.Array, exact: Callable = primitive.bind, **parameters: Any) -> Any:
            if parameters["precision"] != (jax.lax.Precision.HIGHEST,) * 2:
                factors = tuple(jax.lax.reduce_precision(x, 8, bits) for x in factors)
            return exact(*factors, **parameters)

        monkeypatch.setattr(primitive, "bind", bind)
    golden, noise = reactface_a.golden["listener_3dmm"], reactface_a.golden["eps"][:, None]

    def difference(precision: str) -> float:
        config = dataclasses.replace(reactface_a.config, precision=precision)
        model, params = rf.build_model(config), convert.reactface(reactface_a.weights, config)
        clip = (reactface_a.video, reactface_a.audio)
        reactions = rf.generate(model, params, *clip, protocol="clip", noise=noise)
        return float(np.abs(np.asarray(reactions)[:, 0] - golden).max() / np.abs(golden).max())

    assert least < difference("default") < 20 * least
    assert difference("auto") < 1e-5
    jax.clear_caches()


@pytest.mark.parametrize("forms", ["accelerator_forms", pytest.param(None, marks=pytest.mark.long)])
def test_losses_and_gradient_norms(losses_a: Case, forms: str | None, request: pytest.FixtureRequest):
    """In the operations' form for GPUs and TPUs; test_reactface_oracle.py compares every gradient, number by number."""
    if forms is not None:
        request.getfixturevalue(forms)
    (model, params), golden = losses_a.model(), losses_a.golden

    def loss(params, video, audio, noise):
        reactions = model.apply({"params": params}, video, audio, num_reactions=3, noise=noise)
        total, parts = losses.total(reactions, golden["speaker_3dmm"], golden["neighbours"])
        validation, validation_parts = losses.validation(reactions, golden["neighbours"][:, 0])
        return total, {LOSSES[name]: part for name, part in parts.items()} | {
            "listener": reactions.listener,
            "neighbour_loss": parts["reconstruction"] + LossConfig().kl * parts["kl"],
            "vae_rec": validation_parts["reconstruction"],
            "vae_loss": validation,
            "total": total,
        }

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, values), gradients = step(params, losses_a.video, losses_a.audio, golden["eps"])
    assert_close(values, golden)
    # Here 13 of the arguments of ReLU are nearer to zero than 1e-5: what lets their gradients pass or stops them is
    # rounding. All of them turned, norms change by up to 0.42 %.
    assert_gradient_norms_close(convert.to_reactface(gradients), golden, 5e-3)


@pytest.mark.long
def test_oracle_is_the_authors_model(reactface_a: Case):
    oracle, video, audio = reactface_a.oracle()
    eps, prefix_eps, window_eps = (
        torch.tensor(reactface_a.golden[name])[:, None] for name in ("eps", "online_prefix_eps", "online_window_eps")
    )
    with torch.no_grad():
        clip, speaker = oracle.protocol_clip(video, audio, eps)
        prefix = oracle.protocol_prefix(video, audio, prefix_eps)
        window = oracle.protocol_window(video, audio, window_eps)
        values = {
            "video_features": speaker.video,
            "wav2vec2_features": speaker.audio,
            "speech_features": speaker.speech,
            "speaker_vector": speaker.vector,
            "aligned_speaker_motion": speaker.motion,
            "mu": clip.mean[:, 0],
            "std": clip.std[:, 0],
            "listener_3dmm": clip.listener[:, 0],
            "speaker_3dmm": oracle.reconstruct_speaker(speaker),
            "online_prefix_3dmm": prefix.listener[:, 0],
            "online_prefix_z": prefix.z[:, 0],
            "online_window_3dmm": window.listener[:, 0],
        }
    assert_close(values, reactface_a.golden)


@pytest.mark.long
def test_oracle_has_the_authors_losses_and_gradients(losses_a: Case):
    """In float64, so that no ReLU turns from one machine to another."""
    oracle, *inputs = losses_a.oracle()
    golden = losses_a.golden
    with float64():
        inputs += [torch.tensor(golden[name]) for name in ("eps", "speaker_3dmm", "neighbours")]
        video, audio, eps, speaker, neighbours = (x.double() for x in inputs)
        out, features = oracle.double().protocol_clip(video, audio, eps)
        reconstructed = oracle.reconstruct_speaker(features)
        total, parts = losses_torch.total(*out[:3], reconstructed, speaker, neighbours, LossConfig())
    total.backward()
    values = {LOSSES[name]: part for name, part in parts.items()} | {"listener": out.listener, "total": total}
    assert_close({name: value.detach() for name, value in values.items()}, golden)
    gradients = {name: p.grad.numpy() for name, p in oracle.named_parameters() if p.grad is not None}
    assert_gradient_norms_close({older_spelling(name): gradient for name, gradient in gradients.items()}, golden, 1e-4)
