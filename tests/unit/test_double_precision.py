"""JAX_ENABLE_X64=1 changes nothing: parameters, states and random draws are float32 wherever that is on."""

import dataclasses

import jax
import numpy as np
import pytest
from small_model import CONFIG, clip, random_params

import reactface_jax as rf

CAUSAL = dataclasses.replace(CONFIG, causal=True, block=2, max_context=12)
KEY = jax.random.key(3)


def types_of(tree) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("config", [CONFIG, CAUSAL], ids=["reference", "causal"])
def test_parameters_are_single(config) -> None:
    keys = {"params": KEY, "sample": KEY}
    with jax.enable_x64(True):
        assert types_of(jax.eval_shape(rf.build_model(config).init, keys, *clip(6))) == {"float32"}


ONLINE = [pytest.param(CONFIG, protocol, marks=pytest.mark.long) for protocol in ("prefix", "window")]


@pytest.mark.parametrize(("config", "protocol"), [(CONFIG, "clip"), (CAUSAL, "clip"), *ONLINE])
def test_reactions_are_the_same(config, protocol) -> None:
    model = rf.build_model(config)
    params, (video, audio) = random_params(model), clip(6)

    def reactions() -> np.ndarray:
        return np.asarray(rf.generate(model, params, video, audio, protocol=protocol, num_reactions=2, key=KEY))

    expected = reactions()
    with jax.enable_x64(True):
        double = reactions()
    assert double.dtype == np.float32
    np.testing.assert_allclose(double, expected, atol=1e-5)


def test_a_stream_keeps_its_types() -> None:
    model = rf.build_model(CAUSAL)
    params, (video, audio) = random_params(model), clip(CAUSAL.window)

    def first_window() -> tuple[set[str], np.ndarray]:
        state = rf.stream.start(model, params, 1, 2, image_size=video.shape[2])
        state, reaction = rf.stream.step(model, params, state, video, audio, key=KEY)
        return types_of(state), np.asarray(reaction)

    _, expected = first_window()
    with jax.enable_x64(True):
        types, double = first_window()
    assert types == {"float32", "int32"}
    np.testing.assert_allclose(double, expected, atol=1e-5)


def test_the_listener_answers_the_same() -> None:
    listener = rf.load_pretrained("listener")
    inputs = rf.Inputs(np.full((1, 10, 58), 0.1, np.float32), np.zeros((1, 6400), np.float32))

    def answer() -> tuple[set[str], np.ndarray]:
        state, reactions = listener.step(listener.start(2, KEY), inputs)
        return types_of(state._replace(keys=None)), np.asarray(reactions)

    _, expected = answer()
    with jax.enable_x64(True):
        types, double = answer()
    assert types == {"float32", "int32"}
    np.testing.assert_allclose(double, expected, atol=1e-5)
