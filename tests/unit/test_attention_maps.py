"""Attention maps come from the model's own weights, in windows of any length."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import small_model

from reactface_jax.evaluation.attention_maps import attention_maps, windows_of
from reactface_jax.models import build_model
from reactface_jax.models.positions import temporal_bias

FRAMES = 20


@pytest.fixture(scope="module", params=[False, True], ids=["reference", "causal"])
def maps(request) -> dict:
    model = build_model(dataclasses.replace(small_model.CONFIG, causal=request.param, block=4))
    video, audio = small_model.clip(FRAMES, batch_size=2)
    found = attention_maps(model, small_model.random_params(model), video, audio, jax.random.key(0), windows=(4, 32))
    return {(each.interaction, each.window): each.weights for each in found}


def test_rows_are_distributions_over_what_a_frame_may_see(maps):
    shapes = {name: weights.shape for name, weights in maps.items()}
    # The window of 32 frames is filled by 20.
    assert shapes == {("VIM", 4): (4, 4), ("MIM", 4): (4, 8), ("VIM", 32): (20, 20), ("MIM", 32): (20, 40)}
    for weights in maps.values():
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    for window in (4, 32):  # the listener's frame sees no later frame of the face
        assert np.triu(maps["VIM", window], 1).max() == 0
    assert maps["VIM", 32][0, 0] == 1
    assert np.ptp(maps["VIM", 32][-1]) > 0


def test_the_maps_of_one_window_are_the_mean_of_its_heads():
    model = build_model(small_model.CONFIG)
    params, (video, audio) = small_model.random_params(model), small_model.clip(4)
    noise = np.asarray(jax.random.normal(jax.random.key(3), (1, 1, 1, model.config.feature_dim)))
    run = jax.jit(functools.partial(model.apply, mutable=["attention"]))
    _, sown = run({"params": params}, video, audio, noise=noise)
    layer = sown["attention"]["listener"]["synchroniser"]["motion_decoder"]
    expected = np.asarray(layer["cross_attention"]["weights"][0])  # 1 1 1 h 4 4
    (vim, _) = attention_maps(model, params, video, audio, jax.random.key(3), windows=(4,))
    np.testing.assert_allclose(vim.weights, expected[0, 0, 0].mean(0), atol=1e-6)


def without_queries(params: dict) -> dict:
    """Queries are zeros: the attention is the bias."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: np.zeros_like(x) if "query" in jax.tree_util.keystr(path) else x, params
    )


def test_biases_fade_by_their_own_period_and_a_frame_may_see_only_its_own():
    """Queries of zeros: the attention is the bias."""
    config = dataclasses.replace(small_model.CONFIG, bias_period=1, use_audio=False)
    own_frame = np.broadcast_to(np.eye(4), (4, 4, 4))
    for face, vim in (("reference", jax.nn.softmax(temporal_bias(4, 4, 1))), ("point_to_point", own_frame)):
        model = build_model(dataclasses.replace(config, face_alignment=face, latent_alignment=face))
        params = without_queries(small_model.random_params(model))
        noise = np.zeros((1, 1, 2, config.feature_dim), np.float32)
        encode, react = (
            jax.jit(functools.partial(model.apply, method=method, mutable=["attention"]))
            for method in ("encode", "react_to_clip")
        )
        features, sown = encode({"params": params}, *small_model.clip(8))
        weights = sown["attention"]["speaker_encoder"]["face_decoder"]["self_attention"]["weights"][0]
        np.testing.assert_allclose(weights[0], jax.nn.softmax(temporal_bias(4, 8, 1)), atol=1e-6)
        _, sown = react({"params": params}, features, noise)
        weights = sown["attention"]["listener"]["interaction_encoder"]["past_motion_decoder"]["self_attention"]
        np.testing.assert_allclose(weights["weights"][0][1, 0, 0], jax.nn.softmax(temporal_bias(4, 8, 1)), atol=1e-6)
        weights = sown["attention"]["listener"]["synchroniser"]["motion_decoder"]["cross_attention"]["weights"][0]
        np.testing.assert_allclose(weights[1, 0, 0], vim, atol=1e-6)
        for layer in sown["attention"]["listener"]["reaction_decoder"].values():
            latents = 1 / 4 if face == "reference" else own_frame
            np.testing.assert_allclose(layer["cross_attention"]["weights"][0][1, 0, 0], latents, atol=1e-6)


def test_the_synchroniser_sees_the_window_before_but_in_the_first():
    """Queries of zeros: the attention is the bias, over both windows."""
    for causal in (False, True):
        config = dataclasses.replace(
            small_model.CONFIG, bias_period=1, use_audio=False, sync_memory="previous", causal=causal, block=4
        )
        model = build_model(config)
        params = without_queries(small_model.random_params(model))
        noise = np.zeros((1, 1, 2, config.feature_dim), np.float32)
        features = jax.jit(functools.partial(model.apply, method="encode"))({"params": params}, *small_model.clip(8))
        react = jax.jit(functools.partial(model.apply, method="react_to_clip", mutable=["attention"]))
        _, sown = react({"params": params}, features, noise)
        weights = sown["attention"]["listener"]["synchroniser"]["motion_decoder"]["cross_attention"]["weights"][0]
        np.testing.assert_allclose(weights[0, 0, 0, ..., :4], 0, atol=1e-6)
        np.testing.assert_allclose(weights[0, 0, 0, ..., 4:], jax.nn.softmax(temporal_bias(4, 4, 1)), atol=1e-6)
        np.testing.assert_allclose(weights[1, 0, 0], jax.nn.softmax(temporal_bias(4, 8, 1))[:, 4:], atol=1e-6)


def test_features_may_be_made_from_the_past_only():
    """Queries of zeros: over all visible frames they count the same, over the past they fade; padding is unseen."""
    lengths = np.array([6], np.int32)
    even = np.where(np.arange(8) < 6, 1 / 6, 0.0)
    past = np.asarray(jax.nn.softmax(temporal_bias(4, 8, 1)))
    for memory, expected in (("all", np.broadcast_to(even, (4, 8, 8))), ("past", past)):
        config = dataclasses.replace(small_model.CONFIG, bias_period=1, use_audio=False, memory=memory)
        model = build_model(config)
        params = without_queries(small_model.random_params(model))
        encode = jax.jit(functools.partial(model.apply, method="encode", mutable=["attention"]))
        _, sown = encode({"params": params}, *small_model.clip(8), lengths)
        weights = sown["attention"]["speaker_encoder"]["face_decoder"]["cross_attention"]["weights"][0]
        np.testing.assert_allclose(np.reshape(weights, (4, 8, 8))[:, :6], expected[:, :6], atol=1e-6)


def test_windows_are_whole_periods_or_blocks():
    assert windows_of(build_model(dataclasses.replace(small_model.CONFIG, period=8, window=8))) == [8, 64]
    assert windows_of(build_model(dataclasses.replace(small_model.CONFIG, period=16, window=16))) == [16, 64]
    assert windows_of(build_model(dataclasses.replace(small_model.CONFIG, causal=True, block=24, window=24))) == [
        24,
        48,
    ]


def test_interactions_that_a_model_lacks_have_no_map():
    model = build_model(dataclasses.replace(small_model.CONFIG, use_vim=False))
    params, (video, audio) = small_model.random_params(model), small_model.clip(4)
    found = list(attention_maps(model, params, video, audio, jax.random.key(0), windows=(4,)))
    assert [each.interaction for each in found] == ["MIM"]
