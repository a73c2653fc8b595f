"""Our wav2vec 2.0 against transformers' Wav2Vec2Model in float32, and its padding, training mode and dtypes."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from reactface_jax import convert
from reactface_jax.config import AudioConfig
from reactface_jax.models.wav2vec2 import PositionalConvolution, Wav2Vec2Encoder, sample_spans

SMALL = AudioConfig(
    hidden_size=48,
    num_layers=2,
    num_heads=4,
    intermediate_size=56,
    conv_dim=24,
    num_conv_pos_embeddings=16,
    num_conv_pos_groups=4,
)
STILL = dataclasses.replace(  # nothing random in training mode
    SMALL,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    feature_dropout=0.0,
    layer_dropout=0.0,
    mask_time_prob=0.0,
)
SHALLOW = dataclasses.replace(STILL, num_layers=1)
RELATIVE = 1e-5
NUM_SAMPLES = 8 * 640  # 15 frames
WEIGHTS = np.random.default_rng(1).standard_normal((2, 15, SMALL.hidden_size)).astype(np.float32)
LENGTHS = (NUM_SAMPLES, 3 * 640 + 123, 400, 399, 0)


QUICK = {"xla_backend_optimization_level": 0}  # compiling is most of these tests' time


def apply(
    config: AudioConfig,
    params: dict,
    audio: jax.Array,
    lengths: jax.Array | None = None,
    key: jax.Array | None = None,
    dtype: str = "float32",
) -> jax.Array:
    """With a key: training mode."""
    rngs = None if key is None else {"dropout": key}
    encoder = Wav2Vec2Encoder(config, jnp.dtype(dtype))
    return encoder.apply({"params": params}, audio, lengths, deterministic=key is None, rngs=rngs)


@functools.cache
def compiled(config: AudioConfig, dtype: str = "float32") -> Callable[..., jax.Array]:
    return jax.jit(functools.partial(apply, config, dtype=dtype), compiler_options=QUICK)


def gradient(config: AudioConfig, params: dict, audio: np.ndarray, key: jax.Array | None = None) -> dict:
    """Of a weighted sum of the outputs."""
    return jax.jit(
        jax.grad(lambda params: (apply(config, params, audio, None, key) * WEIGHTS).sum()), compiler_options=QUICK
    )(params)


def oracle(config: AudioConfig, seed: int = 0) -> transformers.Wav2Vec2Model:
    """transformers' model of that size, every parameter random, norms and biases too."""
    torch.manual_seed(seed)
    model = transformers.Wav2Vec2Model(
        transformers.Wav2Vec2Config(
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.intermediate_size,
            conv_dim=(config.conv_dim,) * 7,
            num_conv_pos_embeddings=config.num_conv_pos_embeddings,
            num_conv_pos_embedding_groups=config.num_conv_pos_groups,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def sound(num_samples: int, batch_size: int = 2) -> np.ndarray:
    return np.random.default_rng(num_samples).standard_normal((batch_size, num_samples)).astype(np.float32)


def assert_close(ours: jax.Array, expected: np.ndarray, tolerance: float = RELATIVE) -> None:
    assert ours.shape == expected.shape
    assert np.abs(np.asarray(ours) - expected).max() < tolerance * np.abs(expected).max()


@pytest.fixture(scope="module")
def params() -> dict:
    return convert.wav2vec2(oracle(SMALL).state_dict(), SMALL)


@pytest.fixture(scope="module")
def shallow_params(params: dict) -> dict:
    return {name: leaf for name, leaf in params.items() if name != "layer_1"}


@pytest.mark.parametrize("num_samples", [NUM_SAMPLES, NUM_SAMPLES + 333])
def test_equals_transformers(params: dict, num_samples: int) -> None:
    audio = sound(num_samples)
    with torch.no_grad():
        expected = oracle(SMALL)(torch.from_numpy(audio)).last_hidden_state.numpy()
    with jax.numpy_rank_promotion("raise"):
        ours = compiled(SMALL)(params, audio)
    assert ours.dtype == jnp.float32
    assert_close(ours, expected)


@pytest.mark.parametrize("kernel_size", [15, 16])
def test_positional_convolution_of_odd_and_even_kernels(kernel_size: int) -> None:
    config = dataclasses.replace(SMALL, num_conv_pos_embeddings=kernel_size)
    model = oracle(config)
    x = np.random.default_rng(0).standard_normal((2, 19, config.hidden_size)).astype(np.float32)
    with torch.no_grad():
        expected = model.encoder.pos_conv_embed(torch.from_numpy(x)).numpy()
    params = convert.wav2vec2(model.state_dict(), config)["positional_convolution"]
    ours = PositionalConvolution(kernel_size, config.num_conv_pos_groups).apply({"params": params}, jnp.array(x))
    assert_close(ours, expected)


def test_gradients_equal_those_of_transformers(params: dict) -> None:
    model, audio = oracle(SMALL), sound(NUM_SAMPLES)
    (model(torch.from_numpy(audio)).last_hidden_state * torch.from_numpy(WEIGHTS)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    expected = convert.wav2vec2(gradients, SMALL)  # without the SpecAugment embedding, whose gradient is zero

    thawed = dataclasses.replace(SMALL, freeze_feature_extractor=False)
    ours = gradient(thawed, params, audio)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for (path, leaf), theirs in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(expected), strict=True):
        # key biases have no gradient in exact arithmetic, so small ones are compared absolutely
        np.testing.assert_allclose(leaf, theirs, rtol=1e-3, atol=2e-6 * scale, err_msg=jax.tree_util.keystr(path))


def test_lengths_give_what_the_cut_sound_gives(params: dict) -> None:
    model, audio = oracle(SMALL), sound(NUM_SAMPLES, len(LENGTHS))
    ours = compiled(SMALL)(params, audio, jnp.array(LENGTHS))
    for row, length in enumerate(LENGTHS):
        num_frames = 0
        if length >= 400:
            with torch.no_grad():
                cut = model(torch.from_numpy(audio[row : row + 1, :length])).last_hidden_state[0].numpy()
            num_frames = len(cut)
            assert_close(ours[row, :num_frames], cut)
        assert not np.any(ours[row, num_frames:])


def test_padding_does_not_reach_valid_frames(params: dict) -> None:
    audio, lengths = sound(NUM_SAMPLES, len(LENGTHS)), jnp.array(LENGTHS)
    padding = np.arange(NUM_SAMPLES)[None] >= np.array(LENGTHS)[:, None]
    first = compiled(SMALL)(params, audio, lengths)
    for value in (1e4, np.nan):
        assert np.array_equal(first, compiled(SMALL)(params, np.where(padding, np.float32(value), audio), lengths))


def test_bfloat16_is_close_and_keeps_float32_parameters(params: dict) -> None:
    audio = sound(NUM_SAMPLES)
    ours = compiled(SMALL, "bfloat16")(params, audio)
    assert ours.dtype == jnp.float32
    full = np.asarray(compiled(SMALL)(params, audio))
    assert_close(ours, full, 0.05)
    assert np.abs(np.asarray(ours) - full).max() > 1e-4
    shapes = jax.eval_shape(Wav2Vec2Encoder(SMALL, jnp.bfloat16).init, jax.random.key(0), audio)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def test_no_gradient_reaches_a_frozen_feature_extractor(shallow_params: dict) -> None:
    """Without freezing there is one: the test of gradients above."""
    found = gradient(SHALLOW, shallow_params, sound(NUM_SAMPLES))
    assert np.any(found["feature_projection"]["linear"]["kernel"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found["feature_extractor"]))


@pytest.mark.parametrize(
    "field",
    [
        "hidden_dropout",
        "attention_dropout",
        "activation_dropout",
        "feature_dropout",
        "layer_dropout",
        "mask_time_prob",
    ],
)
def test_each_random_field_acts_in_training(shallow_params: dict, field: str) -> None:
    """And only there: the comparisons with transformers run with all of them set, without a key."""
    config, audio = dataclasses.replace(SHALLOW, **{field: 0.5}), sound(NUM_SAMPLES)
    still = compiled(SHALLOW)(shallow_params, audio)
    # the layer is skipped half of the time: some of these keys skip it, some don't
    outputs = [compiled(config)(shallow_params, audio, None, jax.random.key(seed)) for seed in range(8)]
    assert any(not np.allclose(y, still, atol=1e-3) for y in outputs)
    assert any(not np.array_equal(outputs[0], y) for y in outputs[1:])
    assert np.array_equal(outputs[0], compiled(config)(shallow_params, audio, None, jax.random.key(0)))


def test_a_dropped_layer_leaves_its_input(shallow_params: dict) -> None:
    audio = sound(NUM_SAMPLES)
    always = compiled(dataclasses.replace(SHALLOW, layer_dropout=1.0))
    without = dataclasses.replace(SHALLOW)
    object.__setattr__(without, "num_layers", 0)  # below its range
    dropped = always(shallow_params, audio, None, jax.random.key(0))
    assert_close(dropped, np.asarray(compiled(without)(shallow_params, audio)))


def test_masked_frames_hold_the_embedding(shallow_params: dict) -> None:
    """With every frame under a span, the output depends on the embedding and no longer on the sound."""
    masked = dataclasses.replace(SHALLOW, mask_time_length=1)
    object.__setattr__(masked, "mask_time_prob", 1e6)  # beyond its range, so that every frame is masked
    found = gradient(masked, shallow_params, sound(NUM_SAMPLES), jax.random.key(0))
    assert np.any(found["masked_spec_embed"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found["feature_projection"]))


def test_number_and_place_of_spans() -> None:
    """As transformers: about mask_prob * n / length whole spans of distinct starts, at least 2."""
    shape, length, prob = (64, 511), 10, 0.4
    draw = jax.jit(sample_spans, static_argnums=(1, 2, 3))
    expected = prob * shape[1] / length  # 20.44 spans: 20 or 21 by the batch's one draw
    for seed in range(8):
        spans = np.asarray(draw(jax.random.key(seed), shape, prob, length))
        starts = np.diff(spans.astype(int), axis=1, prepend=0) == 1
        assert (starts.sum(axis=1) <= np.ceil(expected)).all()
        # 1 - (1 - length / n) ^ spans of the frames, overlaps counted once
        np.testing.assert_allclose(spans.mean(), 1 - (1 - length / shape[1]) ** expected, atol=0.02)

    rare = np.asarray(draw(jax.random.key(0), shape, 1e-9, length))
    assert set(rare.sum(axis=1).tolist()) <= set(range(length + 1, 2 * length + 1))  # two distinct starts


def test_spans_stay_inside_the_valid_frames() -> None:
    lengths = jnp.array([50, 30, 11, 10, 9, 0])
    for seed in range(4):
        spans = np.asarray(sample_spans(jax.random.key(seed), (6, 50), 0.3, 10, lengths))
        for row, length in zip(spans, np.asarray(lengths), strict=True):
            assert not row[length:].any()
            assert row.any() == (length >= 10)


def test_a_clip_shorter_than_a_span_has_none() -> None:
    assert not np.any(sample_spans(jax.random.key(0), (2, 9), 0.5, 10))


def test_initialisation_starts_with_a_unit_weight_norm() -> None:
    """Gains equal the norms of their taps, so that weight norm changes nothing at first."""
    convolution = PositionalConvolution(SMALL.num_conv_pos_embeddings, SMALL.num_conv_pos_groups)
    params = convolution.init(jax.random.key(0), jnp.zeros((1, 3, SMALL.hidden_size)))["params"]
    np.testing.assert_allclose(params["weight_g"], np.sqrt(np.square(params["weight_v"]).sum((1, 2))), rtol=1e-6)


def test_full_size_has_the_parameters_of_base_960h() -> None:
    audio = jax.ShapeDtypeStruct((1, 16_000), jnp.float32)
    shapes = jax.eval_shape(Wav2Vec2Encoder(AudioConfig()).init, jax.random.key(0), audio)
    with torch.device("meta"):
        expected = sum(p.numel() for p in transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()).parameters())
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == expected
