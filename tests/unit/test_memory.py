"""Ways to spend less memory give the same numbers: chunks of frames, recomputation."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_model

from reactface_jax.config import load_config
from reactface_jax.errors import UserError
from reactface_jax.models import build_model, wav2vec2
from reactface_jax.models.attention import DecoderLayer
from reactface_jax.models.recomputation import recomputed
from reactface_jax.models.video_encoder import VideoEncoder

ROOT = Path(__file__).parents[2]


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

    def loss(params, layer):
        return jnp.square(layer.apply(params, *arrays, deterministic=False, rngs=keys)).sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    expected = gradient(params, plain)
    for remat in ("dots", "layers"):
        layer, _ = make(recomputed(kind, remat))
        found = gradient(params, layer)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * max(np.abs(b).max(), 1e-3))


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


def test_a_causal_model_has_neither():
    with pytest.raises(UserError, match=r"model.video_chunk and model.remat are not for a causal model"):
        load_config(ROOT / "configs/react2023.py", ["--model.video-chunk", "16"])
