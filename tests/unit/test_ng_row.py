"""Ng et al.: two trainings, generation code by code, and what the released defect does."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from toy_training import batches, conversations, mean_of, saved_and_restored, start, stepper, train

from reactface_jax.config.ng import NgConfig
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import LearnedMethod
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.ng.batch_norm import BatchNorm
from reactface_jax.methods.ng.bilateral import smooth
from reactface_jax.methods.ng.log_mel import NUM_BANDS, log_mel
from reactface_jax.methods.ng.ng import Ng, _rate
from reactface_jax.methods.ng.nucleus import nucleus_probabilities

TOY = NgConfig(
    width=16,
    num_heads=2,
    num_layers=1,
    feed_forward=16,
    num_codes=16,
    token_width=16,
    speaker_width=16,
    predictor_heads=2,
    predictor_feed_forward=16,
    speaker_layers=1,
    predictor_layers=1,
    vqvae_steps=40,
    vqvae_rate=0.4,
    predictor_rate=0.4,
    warmup_steps=10,
    statistics_batches=2,
)
METHOD = Ng(TOY)


@pytest.fixture(scope="module", name="update")
def _update():
    return stepper(METHOD)


@pytest.fixture(scope="module", name="trained")
def _trained(update):
    data = batches(8, 72)
    return train(METHOD, data, start(METHOD, data), 0, 80, update)


def test_is_a_learned_method() -> None:
    assert isinstance(METHOD, LearnedMethod)
    assert METHOD.stages == (0, 40)
    assert METHOD.warm_up == 32


def test_both_losses_fall(trained) -> None:
    for name, stage in (("reconstruction", trained.metrics[:40]), ("cross_entropy", trained.metrics[40:])):
        assert mean_of(stage[-5:], name) < 0.9 * mean_of(stage[:5], name)
    assert mean_of(trained.metrics[:40], "cross_entropy") == mean_of(trained.metrics[40:], "reconstruction") == 0


def test_losses_are_the_specified_sums(trained) -> None:
    """L1 means of expressions, rotations and translations, each counting as much; of 64 frames both halves."""
    for step in trained.metrics:
        assert step["loss"] == pytest.approx(step["reconstruction"] + step["quantisation"] + step["cross_entropy"])
    clips, variables = conversations(7, 2, 64), trained.variables
    loss = jax.jit(functools.partial(METHOD.loss, key=jax.random.key(0), step=jnp.int32(0)))
    _, (metrics, _) = loss(variables, clips)
    blocks = METHOD._face(variables, clips.listener).reshape(4, 32, 58)
    network = {"params": variables.params["vqvae"], "batch_stats": variables.state["batch_stats"]["vqvae"]}
    decode = jax.jit(functools.partial(METHOD.vqvae.apply, train=True, mutable=["batch_stats"]))
    decoded = decode(network, blocks)[0][0]
    error = np.abs(decoded - blocks)
    expected = error[..., :52].mean() + error[..., 52:55].mean() + error[..., 55:].mean()
    assert float(metrics["reconstruction"]) == pytest.approx(expected, rel=1e-4)


def test_a_stage_leaves_the_other_alone_and_a_saved_run_goes_on_as_it_was(tmp_path, update) -> None:
    data = list(itertools.islice(batches(8, 72), 8))
    begun = start(METHOD, iter(data[:2]))
    begun = begun._replace(optimizer=begun.optimizer._replace(step=jnp.int32(38)))
    whole = train(METHOD, iter(data[2:]), begun, 38, 42, update)
    half = train(METHOD, iter(data[2:]), begun, 38, 40, update)
    resumed = train(METHOD, iter(data[4:]), saved_and_restored(half, tmp_path / "half.npz"), 40, 42, update)
    for a, b in zip(jax.tree.leaves(whole[:2]), jax.tree.leaves(resumed[:2]), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, first, last in (("vqvae", half, whole), ("predictor", begun, half)):
        for a, b in zip(*(jax.tree.leaves(_of(run, name)) for run in (first, last)), strict=True):
            np.testing.assert_array_equal(a, b)
    for name, first, last in (("vqvae", begun, half), ("predictor", half, whole)):
        changed = [
            not np.array_equal(*pair)
            for pair in zip(*(jax.tree.leaves(_of(run, name)) for run in (first, last)), strict=True)
        ]
        assert np.mean(changed) > 0.9


def _of(run, name):
    return run.variables.params[name], run.variables.state["batch_stats"][name], run.optimizer.parts[name]


@pytest.mark.parametrize("fields", [{}, {"released": True}, {"draw": "block"}])
def test_answers(trained, fields) -> None:
    method = Ng(dataclasses.replace(TOY, **fields))
    clips = conversations(99, 2, 70)
    answer = jax.jit(
        lambda speaker, audio, keys: method.answer(trained.variables, Inputs(speaker, audio), 3, keys=keys)
    )
    keys = jax.random.split(jax.random.key(5), 2)
    found = np.asarray(answer(clips.speaker, clips.audio, keys))
    assert found.shape == (2, 3, 70, 58)
    assert np.isfinite(found).all()
    assert np.abs(found[:, 0] - found[:, 1]).max() > 0.01  # reactions differ
    swapped = np.asarray(answer(clips.speaker[::-1], clips.audio[::-1], keys[::-1]))
    np.testing.assert_allclose(swapped[::-1], found, atol=1e-5)  # a clip's reactions depend on no other


def test_other_data_is_refused(trained) -> None:
    with pytest.raises(UserError, match=r"58 coefficients a frame, but the data has 56"):
        METHOD.answer(
            trained.variables,
            Inputs(jnp.zeros((1, 32, 56)), jnp.zeros((1, 32 * 640))),
            1,
            keys=jax.random.split(jax.random.key(0), 1),
        )
    with pytest.raises(UserError, match=r"clip-frames 63 is too few for Ng et al\.; give 64"):
        METHOD.loss(trained.variables, conversations(0, 1, 63), key=jax.random.key(0), step=jnp.int32(0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 30, "num_heads": 4}, "ng.width 30 must be a multiple"),
        ({"channels": 6}, "ng.channels 6 must be above"),
    ],
)
def test_sizes_must_fit(fields, message) -> None:
    with pytest.raises(UserError, match=message):
        NgConfig(**fields)


def test_rates_reach_the_specified_peaks() -> None:
    full = NgConfig()
    assert float(_rate(full.vqvae_rate, full.width, 100_000)(99_999)) == pytest.approx(3.95e-4, rel=1e-2)
    assert float(_rate(full.predictor_rate, full.token_width, 100_000)(99_999)) == pytest.approx(2.236e-6, rel=1e-2)


def test_batch_norm_counts_as_pytorch_does() -> None:
    theirs = torch.nn.BatchNorm1d(4)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    expected = theirs(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).detach().numpy()
    variables = BatchNorm().init(jax.random.key(0), jnp.asarray(x), train=True)
    found, changed = BatchNorm().apply(variables, jnp.asarray(x), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(changed["batch_stats"]["mean"], theirs.running_mean, atol=1e-7)
    np.testing.assert_allclose(changed["batch_stats"]["variance"], theirs.running_var, atol=1e-7)


def test_smoothing_is_a_mean_of_five() -> None:
    x = jnp.zeros((1, 7, 1)).at[0, 3, 0].set(1.0)
    np.testing.assert_allclose(smooth(x)[0, :, 0], [0, 0.2, 0.2, 0.2, 0.2, 0.2, 0], atol=2e-3)
    np.testing.assert_allclose(smooth(x + 5) - 5, smooth(x), atol=1e-5)


def test_log_mel_hears_the_tone_where_it_is() -> None:
    time = np.arange(10 * 640) / 16_000
    audio = jnp.asarray(np.sin(2 * np.pi * 1000 * time) * (time >= 0.2), jnp.float32)[None]
    whole = log_mel(audio, jnp.zeros(1, jnp.int32), 10)[0]
    assert whole.shape == (40, NUM_BANDS)
    assert abs(int(whole[30].argmax()) - 43) <= 1  # 15 of 45.2 units of Slaney's scale, by 129
    assert float(whole[30].max() - whole[8].max()) > 5
    np.testing.assert_allclose(log_mel(audio, jnp.full(1, 3), 4)[0], whole[12:28], rtol=1e-5)


def test_nucleus_keeps_the_one_that_passes() -> None:
    logits = jnp.log(jnp.asarray([0.1, 0.5, 0.3, 0.1]))
    np.testing.assert_allclose(nucleus_probabilities(logits, 1.0, 0.6), [0, 0.625, 0.375, 0], atol=1e-6)
