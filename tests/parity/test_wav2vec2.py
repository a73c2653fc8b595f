"""Our wav2vec 2.0 against transformers' Wav2Vec2Model in float32, and its padding, training mode and dtypes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from reactface_jax import convert
from reactface_jax.config import AudioConfig
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder, sample_spans

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
RELATIVE = 1e-5


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


@pytest.mark.parametrize("num_samples", [400, 719, 720, 8 * 640, 8 * 640 + 333])
def test_equals_transformers(params: dict, num_samples: int) -> None:
    audio = sound(num_samples)
    with torch.no_grad():
        expected = oracle(SMALL)(torch.from_numpy(audio)).last_hidden_state.numpy()
    with jax.numpy_rank_promotion("raise"):
        ours = Wav2Vec2Encoder(SMALL).apply({"params": params}, audio)
    assert ours.dtype == jnp.float32
    assert_close(ours, expected)


def test_equals_transformers_with_an_odd_positional_kernel() -> None:
    config = dataclasses.replace(SMALL, num_conv_pos_embeddings=15, num_layers=1)
    model, audio = oracle(config), sound(5 * 640)
    with torch.no_grad():
        expected = model(torch.from_numpy(audio)).last_hidden_state.numpy()
    assert_close(
        Wav2Vec2Encoder(config).apply({"params": convert.wav2vec2(model.state_dict(), config)}, audio), expected
    )


def test_gradients_equal_those_of_transformers(params: dict) -> None:
    model, audio = oracle(SMALL), sound(4 * 640)
    weights = np.random.default_rng(1).standard_normal((2, 7, SMALL.hidden_size)).astype(np.float32)
    (model(torch.from_numpy(audio)).last_hidden_state * torch.from_numpy(weights)).sum().backward()
    zero = torch.zeros_like(model.masked_spec_embed)  # not on the path
    expected = convert.wav2vec2(
        {name: p.grad if p.grad is not None else zero for name, p in model.named_parameters()}, SMALL
    )

    thawed = dataclasses.replace(SMALL, freeze_feature_extractor=False)
    gradient = jax.grad(lambda p: (Wav2Vec2Encoder(thawed).apply({"params": p}, audio) * weights).sum())(params)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for (path, ours), theirs in zip(jax.tree.leaves_with_path(gradient), jax.tree.leaves(expected), strict=True):
        # key biases have no gradient in exact arithmetic, so small ones are compared absolutely
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-6 * scale, err_msg=jax.tree_util.keystr(path))


def test_lengths_give_what_the_cut_sound_gives(params: dict) -> None:
    lengths = [8 * 640, 3 * 640 + 123, 400, 6 * 640]
    encoder, audio = Wav2Vec2Encoder(SMALL), sound(8 * 640, len(lengths))
    ours = jax.jit(lambda lengths: encoder.apply({"params": params}, audio, lengths))(jnp.array(lengths))
    for row, length in enumerate(lengths):
        alone = np.asarray(encoder.apply({"params": params}, audio[row : row + 1, :length]))[0]
        assert_close(ours[row, : len(alone)], alone)
        assert not np.any(ours[row, len(alone) :])


def test_padding_does_not_reach_valid_frames(params: dict) -> None:
    encoder, audio, lengths = Wav2Vec2Encoder(SMALL), sound(6 * 640), jnp.array([3 * 640, 4 * 640])
    other = audio.copy()
    other[0, 3 * 640 :] = 1e4
    other[1, 4 * 640 :] = np.nan
    first, second = (encoder.apply({"params": params}, x, lengths) for x in (audio, other))
    assert np.array_equal(first, second)


def test_a_clip_without_any_frame_is_zero(params: dict) -> None:
    ours = Wav2Vec2Encoder(SMALL).apply({"params": params}, sound(3 * 640), jnp.array([0, 399]))
    assert not np.any(ours)


def test_bfloat16_is_close_and_keeps_float32_parameters(params: dict) -> None:
    audio = sound(8 * 640)
    expected = np.asarray(Wav2Vec2Encoder(SMALL).apply({"params": params}, audio))
    encoder = Wav2Vec2Encoder(SMALL, dtype=jnp.bfloat16)
    ours = encoder.apply({"params": params}, audio)
    assert ours.dtype == jnp.float32
    assert_close(ours, expected, 0.05)
    assert {leaf.dtype for leaf in jax.tree.leaves(encoder.init(jax.random.key(0), audio))} == {jnp.dtype("float32")}


@pytest.mark.parametrize("frozen", [True, False])
def test_no_gradient_reaches_a_frozen_feature_extractor(params: dict, frozen: bool) -> None:
    encoder = Wav2Vec2Encoder(dataclasses.replace(STILL, freeze_feature_extractor=frozen))
    gradient = jax.grad(lambda p: jnp.square(encoder.apply({"params": p}, sound(4 * 640))[..., 0]).sum())(params)
    assert np.any(gradient["feature_projection"]["linear"]["kernel"])
    for leaf in jax.tree.leaves(gradient["feature_extractor"]):
        assert np.any(leaf) != frozen


RANDOM_FIELDS = {
    "hidden_dropout": 0.5,
    "attention_dropout": 0.5,
    "activation_dropout": 0.5,
    "feature_dropout": 0.5,
    "layer_dropout": 0.5,
    "mask_time_prob": 0.5,
}


@pytest.mark.parametrize("field", RANDOM_FIELDS)
def test_each_random_field_acts_in_training_only(params: dict, field: str) -> None:
    encoder = Wav2Vec2Encoder(dataclasses.replace(STILL, **{field: RANDOM_FIELDS[field]}))
    audio = sound(14 * 640)
    still = Wav2Vec2Encoder(STILL).apply({"params": params}, audio)
    assert np.array_equal(encoder.apply({"params": params}, audio), still)

    @jax.jit
    def train(key: jax.Array) -> jax.Array:
        return encoder.apply({"params": params}, audio, deterministic=False, rngs={"dropout": key})

    # each of the two layers is skipped half of the time: some of these keys skip one
    outputs = [train(jax.random.key(seed)) for seed in range(6)]
    assert any(not np.allclose(y, still, atol=1e-3) for y in outputs)
    assert any(not np.array_equal(outputs[0], y) for y in outputs[1:])
    assert np.array_equal(outputs[0], train(jax.random.key(0)))


def test_training_mode_without_random_fields_changes_nothing(params: dict) -> None:
    encoder, audio = Wav2Vec2Encoder(STILL), sound(4 * 640)
    training = encoder.apply({"params": params}, audio, deterministic=False)
    assert np.array_equal(training, encoder.apply({"params": params}, audio))


def test_every_layer_dropped_leaves_the_normed_input(params: dict) -> None:
    always = Wav2Vec2Encoder(dataclasses.replace(STILL, layer_dropout=1.0))
    audio = sound(4 * 640)
    rngs = {"dropout": jax.random.key(0)}
    dropped = always.apply({"params": params}, audio, deterministic=False, rngs=rngs)
    shallow = Wav2Vec2Encoder(dataclasses.replace(STILL, num_layers=0))
    assert_close(dropped, np.asarray(shallow.apply({"params": params}, audio)))


def test_masked_frames_hold_the_embedding(params: dict) -> None:
    """Frames under a span do not depend on the sound: with all of them masked, two sounds give the same output."""
    everything = dataclasses.replace(STILL, mask_time_prob=1e6, mask_time_length=1)
    encoder, rngs = Wav2Vec2Encoder(everything), {"dropout": jax.random.key(0)}
    first, second = (
        encoder.apply({"params": params}, audio, deterministic=False, rngs=rngs)
        for audio in (sound(4 * 640), -3 * sound(4 * 640))
    )
    assert np.array_equal(first, second)
    gradient = jax.grad(
        lambda p: encoder.apply({"params": p}, sound(4 * 640), deterministic=False, rngs=rngs)[..., 0].sum()
    )(params)
    assert np.any(gradient["masked_spec_embed"])


def test_number_and_place_of_spans() -> None:
    """As transformers: about mask_prob * n / length whole spans of distinct starts, at least 2."""
    shape, length, prob = (64, 511), 10, 0.4
    expected = prob * shape[1] / length  # 20.44 spans: 20 or 21 by the batch's one draw
    totals = set()
    for seed in range(8):
        spans = np.asarray(sample_spans(jax.random.key(seed), shape, prob, length))
        starts = np.diff(spans.astype(int), axis=1, prepend=0) == 1
        assert (starts.sum(axis=1) <= np.ceil(expected)).all()
        totals.add(int(spans.sum(axis=1).max()) > 20 * length)
        # 1 - (1 - length / n) ^ spans of the frames, overlaps counted once
        np.testing.assert_allclose(spans.mean(), 1 - (1 - length / shape[1]) ** expected, atol=0.02)

    rare = np.asarray(sample_spans(jax.random.key(0), shape, 1e-9, length))
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
    params = Wav2Vec2Encoder(SMALL).init(jax.random.key(0), sound(800))["params"]["positional_convolution"]
    np.testing.assert_allclose(params["weight_g"], np.sqrt(np.square(params["weight_v"]).sum((1, 2))), rtol=1e-6)


def test_full_size_has_the_parameters_of_base_960h() -> None:
    audio = jax.ShapeDtypeStruct((1, 16_000), jnp.float32)
    shapes = jax.eval_shape(Wav2Vec2Encoder(AudioConfig()).init, jax.random.key(0), audio)
    with torch.device("meta"):
        expected = sum(p.numel() for p in transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()).parameters())
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == expected
