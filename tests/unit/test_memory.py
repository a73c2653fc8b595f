"""Ways to spend less memory give the same numbers: chunks of frames, recomputation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_model

from reactface_jax.models import build_model, wav2vec2
from reactface_jax.models.attention import DecoderLayer
from reactface_jax.models.causal import wav2vec2 as causal_wav2vec2
from reactface_jax.models.causal.video_encoder import CausalVideoEncoder
from reactface_jax.models.causal.wav2vec2 import CausalWav2Vec2Encoder
from reactface_jax.models.recomputation import recomputed
from reactface_jax.models.video_encoder import VideoEncoder


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("lengths", "chunk"), [(None, 4), ((10, 7), 1)])
def test_chunks_of_frames_change_nothing(lengths, chunk):
    """Neither features nor gradients; 10 frames are no whole number of chunks, and halos reach over two."""
    video = jnp.asarray(random(2, 10, 32, 32, 3))
    params = jax.jit(VideoEncoder(8, 4).init)(jax.random.key(0), video)
    cotangent = random(2, 10, 8, seed=1)
    if lengths is not None:
        lengths = np.array(lengths)
        cotangent[1, 7:] = 0

    def loss(params, video, chunk):
        features = VideoEncoder(8, 4, chunk=chunk).apply(params, video, lengths)
        return (features * cotangent).sum(), features

    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), static_argnums=2)
    (_, whole), whole_gradients = run(params, video, 0)
    (_, features), gradients = run(params, video, chunk)
    used = np.asarray(cotangent).any(-1)
    np.testing.assert_allclose(features[used], whole[used], atol=1e-5, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(whole_gradients), strict=True):
        # A ReLU whose argument is zero but for rounding may let a gradient pass in one of the two.
        np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())
        assert np.abs(b).max() > 0


def wav2vec2_layer(kind):
    return kind(2, 32, 0.1, 0.1, 0.1), (random(2, 6, 16),)


def decoder_layer(kind):
    return kind(2, 0.1), (random(2, 6, 16), random(2, 4, 16, seed=1), random(2, 6, 6, seed=2), None)


@pytest.mark.parametrize(("make", "kind"), [(wav2vec2_layer, wav2vec2.EncoderLayer), (decoder_layer, DecoderLayer)])
def test_a_layer_that_is_computed_again_is_the_same_layer(make, kind):
    """Parameters, output and gradient, dropout included."""
    plain, arrays = make(kind)
    arrays = jax.tree.map(jnp.asarray, arrays)
    params = jax.jit(plain.init)(jax.random.key(0), *arrays)
    keys = {"dropout": jax.random.key(1)}
    cotangent = random(*arrays[0].shape, seed=3)  # the squares of what a norm gives have no gradient before it

    def loss(params, layer):
        return (layer.apply(params, *arrays, deterministic=False, rngs=keys) * cotangent).sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    expected = gradient(params, plain)
    for remat in ("dots", "layers"):
        layer, _ = make(recomputed(kind, remat))
        found = gradient(params, layer)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(
                a, b, atol=1e-5 * max(np.abs(b).max(), 0.1)
            )  # a key's bias has none but rounding


def test_the_model_recomputes_what_its_field_says():
    """Same parameters; the gradient's program has parts to compute again, one a layer and one of the window step."""
    video, audio = small_model.clip(8)
    keys = {name: jax.random.key(0) for name in ("params", "sample")}
    found = {}
    for remat in ("none", "layers"):
        model = build_model(dataclasses.replace(small_model.CONFIG, remat=remat))
        params = jax.eval_shape(model.init, keys, video, audio)["params"]

        def loss(params, model=model):
            return model.apply({"params": params}, video, audio, rngs=keys).listener.sum()

        found[remat] = (params, str(jax.make_jaxpr(jax.grad(loss))(params)).count("prevent_cse="))
    assert found["none"][0] == found["layers"][0]
    assert found["none"][1] == 0
    assert found["layers"][1] >= 5


@pytest.mark.parametrize("chunk", [pytest.param(4, marks=pytest.mark.long), 8])
def test_a_causal_models_chunks_change_nothing(chunk):
    """10 frames are no whole number of chunks; what follows them is not seen."""
    video = jnp.asarray(random(2, 10, 32, 32, 3))
    params = jax.jit(CausalVideoEncoder(8, 4).init)(jax.random.key(0), video)
    cotangent = random(2, 10, 8, seed=1)

    def loss(params, video, chunk):
        features, _ = CausalVideoEncoder(8, 4, chunk=chunk).apply(params, video)
        return (features * cotangent).sum(), features

    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), static_argnums=2)
    (_, whole), whole_gradients = run(params, video, 0)
    (_, features), gradients = run(params, video, chunk)
    np.testing.assert_allclose(features, whole, atol=1e-5, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(whole_gradients), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())
        assert np.abs(b).max() > 0


AUDIO = dataclasses.replace(
    small_model.AUDIO,
    num_layers=3,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    mask_time_prob=0.0,
)
ENCODERS = {
    "whole": lambda remat: wav2vec2.Wav2Vec2Encoder(AUDIO, remat=remat),
    "causal": lambda remat: CausalWav2Vec2Encoder(AUDIO, block=4, max_context=8, remat=remat),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_loop_over_layers_is_the_layers(name, monkeypatch):
    """Output and gradients, with what is computed again too; the parameters are those of three layers by name."""
    audio = jnp.asarray(random(2, 4 * 640))
    params = jax.jit(ENCODERS[name]("none").init)(jax.random.key(0), audio)
    assert {"layer_0", "layer_1", "layer_2"} < params["params"].keys()

    def loss(params, remat):
        found = ENCODERS[name](remat).apply(params, audio)
        features = found[0] if name == "causal" else found
        return (features * random(*features.shape, seed=1)).sum()

    def run(remat):
        return jax.jit(jax.value_and_grad(lambda params: loss(params, remat)))(params)

    looped = {remat: run(remat) for remat in ("none", "layers")}
    loops = str(jax.make_jaxpr(lambda params: loss(params, "none"))(params)).count("length=3")
    monkeypatch.setattr(wav2vec2, "layer_parameters", lambda *_: None)
    monkeypatch.setattr(causal_wav2vec2, "layer_parameters", lambda *_: None)
    assert loops - str(jax.make_jaxpr(lambda params: loss(params, "none"))(params)).count("length=3") == 1
    value, gradients = run("none")
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))  # keys' biases have none but rounding
    for found, theirs in looped.values():
        np.testing.assert_allclose(found, value, rtol=1e-5)
        for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * largest)


def test_the_loops_layers_are_skipped_one_by_one_and_drop_out():
    audio = jnp.asarray(random(1, 4 * 640))
    params = jax.jit(ENCODERS["whole"]("none").init)(jax.random.key(0), audio)

    def encoded(**rates):
        config = dataclasses.replace(AUDIO, **{"layer_dropout": 0.0, **rates})
        encoder = wav2vec2.Wav2Vec2Encoder(config)
        run = jax.jit(lambda key: encoder.apply(params, audio, deterministic=False, rngs={"dropout": key}))
        return [np.asarray(run(jax.random.key(seed))) for seed in range(40)]

    exact = np.asarray(wav2vec2.Wav2Vec2Encoder(AUDIO).apply(params, audio))
    np.testing.assert_allclose(encoded()[0], exact, atol=1e-6 * np.abs(exact).max())
    assert np.abs(encoded(hidden_dropout=0.5)[0] - exact).max() > 0.1
    kinds = {some.tobytes() for some in encoded(layer_dropout=0.5)}
    assert len(kinds) == 8, "each of three layers is in or out"
    assert len({some.tobytes() for some in encoded(layer_dropout=1.0)}) == 1


def test_a_causal_model_recomputes_its_windows_and_layers():
    audio = dataclasses.replace(small_model.AUDIO, num_layers=2)
    video, sound = small_model.clip(8)
    keys = {name: jax.random.key(0) for name in ("params", "sample")}
    found = {}
    for remat in ("none", "layers"):
        config = dataclasses.replace(
            small_model.CONFIG, causal=True, block=4, max_context=8, audio=audio, remat=remat, video_chunk=0
        )
        model = build_model(config)
        params = jax.eval_shape(model.init, keys, video, sound)["params"]

        def loss(params, model=model):
            return model.apply({"params": params}, video, sound, rngs=keys).listener.sum()

        found[remat] = str(jax.make_jaxpr(jax.grad(loss))(params)).count("prevent_cse=")
    assert (found["none"], found["layers"]) == (0, 2)
