"""The whole model, its losses and all gradients against the PyTorch oracle with the same weights."""

import copy
import functools
from dataclasses import replace
from typing import NamedTuple

import chex
import jax
import numpy as np
import pytest
import torch
from oracle import losses_torch, reactface_torch
from oracle.kinks import Kinks, float64
from oracle.weights import older_spelling, randomise
from small_model import CONFIG, clip

import reactface_jax as rf
from reactface_jax import convert, losses
from reactface_jax.config import LossConfig, ModelConfig
from reactface_jax.models.speaker_encoder import SpeakerFeatures

B, K, T, M = 2, 2, 24, 3
VARIED = replace(CONFIG, window=8, interaction_layers=3, sync_order="face_first", momentum=0.5)
ROUNDING = 9e-6  # float32 rounds a pre-activation of F-Enc, the worst of all, by up to this
WEIGHTS = LossConfig(reconstruction=1.0, pose=10.0, kl=0.1, diversity=10.0, smooth=10.0, speaker=1.0)


@functools.lru_cache
def pair(config: ModelConfig) -> tuple[reactface_torch.ReactFace, rf.ReactFace, dict]:
    """The oracle, our model and our model's parameters, which are the oracle's."""
    oracle = reactface_torch.ReactFace(config).eval()
    randomise(oracle)
    return oracle, rf.build_model(config), convert.reactface(oracle.state_dict(), config)


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def noise_for(config: ModelConfig) -> np.ndarray:
    return normal(B, K, T // config.window, config.feature_dim, seed=2)


def as_numpy(tensors):
    """A tree of tensors as a tree of arrays."""
    return jax.tree.map(lambda tensor: tensor.detach().numpy(), tensors)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"window": 8, "num_heads": 2},  # two periods; more layers and the other order are in VARIED
        {"window": 12, "period": 2, "momentum": 0.0},
    ],
    ids=str,
)
def test_listener_of_each_configuration(change: dict):
    config = replace(CONFIG, **change)
    oracle, model, params = pair(config)
    speech, motion, noise = normal(B, 2 * T, config.feature_dim), normal(B, T, config.feature_dim), noise_for(config)
    with torch.no_grad():
        windows = zip(
            torch.tensor(speech).split(2 * config.window, dim=1),
            torch.tensor(motion).split(config.window, dim=1),
            strict=True,
        )
        theirs = oracle.generate([reactface_torch.Window(*w) for w in windows], torch.tensor(noise), online=False)

    @jax.jit
    def react(params, features, noise):
        return model.apply({"params": params}, features, noise, method="react_to_clip")

    ours = react(params, SpeakerFeatures(None, None, speech, motion, motion), noise)
    chex.assert_trees_all_close(tuple(ours), as_numpy(theirs[:3]), rtol=0, atol=2e-5)


class Step(NamedTuple):
    """What one training step computes: with our model, or with the oracle."""

    reactions: tuple[np.ndarray, ...]  # listener, mean, std, speaker
    losses: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def steps() -> tuple[Step, Step]:
    """Ours in float32 and the oracle's in float64, at a point where no ReLU, maximum or nearest neighbour can turn."""
    oracle, model, params = pair(VARIED)
    video, audio = clip(T, batch_size=B, seed=8)
    noise, speaker, neighbours = noise_for(VARIED), normal(B, T, 58, seed=3), normal(B, M, T, 58, seed=4)

    def loss(params, video, audio, noise):
        reactions = model.apply({"params": params}, video, audio, num_reactions=K, noise=noise)
        total, parts = losses.total(reactions, speaker, neighbours, weights=WEIGHTS)
        return total, (reactions, parts | {"total": total})

    (_, (reactions, parts)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, video, audio, noise)
    ours = Step(tuple(reactions), parts, convert.to_reactface(gradients))

    with float64(), Kinks() as kinks:
        oracle = copy.deepcopy(oracle).double()
        inputs = (torch.tensor(x, dtype=torch.float64) for x in (video, audio, noise, speaker, neighbours))
        video, audio, noise, speaker, neighbours = inputs
        out, features = oracle.protocol_clip(video, audio, noise)
        reconstructed = oracle.reconstruct_speaker(features)
        total, parts = losses_torch.total(*out[:3], reconstructed, speaker, neighbours, WEIGHTS)
    assert kinks.nearest > ROUNDING, "here a gradient may jump between two right answers: take other seeds"
    total.backward()
    gradients = {older_spelling(name): p.grad for name, p in oracle.named_parameters() if p.grad is not None}
    return ours, as_numpy(Step((*out[:3], reconstructed), parts | {"total": total}, gradients))


def test_clip_protocol(steps: tuple[Step, Step]):
    ours, theirs = steps
    chex.assert_trees_all_close(ours.reactions, theirs.reactions, rtol=0, atol=2e-5)


def test_losses(steps: tuple[Step, Step]):
    ours, theirs = steps
    chex.assert_trees_all_close(ours.losses, theirs.losses, rtol=1e-5)


def test_all_gradients(steps: tuple[Step, Step]):
    ours, theirs = steps[0].gradients, steps[1].gradients
    for name in ours.keys() - theirs.keys():
        assert "feature_extractor" in name or "masked_spec_embed" in name, f"the oracle has no gradient of {name}"
        assert not ours[name].any(), f"{name} is frozen"
    assert len(theirs) > 100
    for name, gradient in theirs.items():
        # A bias of all keys alike changes no softmax: its gradient is zero but for rounding.
        scale = 1.0 if name.endswith("k_proj.bias") else np.abs(gradient).max()
        assert scale > 0, name
        np.testing.assert_allclose(ours[name], gradient, rtol=0, atol=1e-4 * scale, err_msg=name)


@pytest.mark.long  # the default configuration's are goldens
@pytest.mark.parametrize("protocol", ["prefix", "window"])
def test_online_protocols(protocol: str):
    oracle, model, params = pair(VARIED)
    (video, audio), noise = clip(T, batch_size=B), noise_for(VARIED)
    with torch.no_grad():
        react = oracle.protocol_prefix if protocol == "prefix" else oracle.protocol_window
        theirs = react(torch.tensor(video), torch.tensor(audio), torch.tensor(noise)).listener
    ours = rf.generate(model, params, video, audio, protocol=protocol, num_reactions=K, noise=noise)
    chex.assert_trees_all_close(ours, theirs.numpy(), rtol=0, atol=2e-5)
