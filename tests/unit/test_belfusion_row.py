"""BeLFusion: two trainings, reactions window by window, and what is refused."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from toy_training import batches, conversations, mean_of, saved_and_restored, start, stepper, train

from reactface_jax.config.belfusion import BelfusionConfig
from reactface_jax.errors import UserError
from reactface_jax.methods.belfusion.belfusion import Belfusion
from reactface_jax.methods.learned import LearnedMethod
from reactface_jax.methods.method import Inputs

TOY = BelfusionConfig(
    window=10,
    width=16,
    mlp_width=16,
    denoiser_width=32,
    denoiser_layers=3,
    time_width=8,
    vae_steps=60,
    vae_rate=1e-2,
    denoiser_rate=3e-3,
    draws=3,
    statistics_batches=2,
)
METHOD = Belfusion(TOY)


@pytest.fixture(scope="module", name="update")
def _update():
    return stepper(METHOD)


@pytest.fixture(scope="module", name="trained")
def _trained(update):
    data = batches(8, 25)
    return train(METHOD, data, start(METHOD, data), 0, 120, update)


def test_is_a_learned_method() -> None:
    assert isinstance(METHOD, LearnedMethod)
    assert METHOD.stages == (0, 60)


def test_both_losses_fall(trained) -> None:
    for name, stage in (("reconstruction", trained.metrics[:60]), ("latent", trained.metrics[60:])):
        assert mean_of(stage[-5:], name) < 0.8 * mean_of(stage[:5], name)


def test_losses_are_the_specified_sums(trained) -> None:
    """The KL is summed over windows and dimensions and divided by clips."""
    for step in trained.metrics[:60]:
        assert step["loss"] == pytest.approx(step["reconstruction"] + 1e-5 * step["kl"])
    for step in trained.metrics[60:]:
        assert step["loss"] == pytest.approx(10 * step["latent"] + 10 * step["decoded"], rel=1e-5)
    clips, params = conversations(7, 3, 20), trained.variables.params
    loss = jax.jit(functools.partial(METHOD.loss, key=jax.random.key(0), step=jnp.int32(0)))
    _, (metrics, _) = loss(trained.variables, clips)
    encoded = METHOD._vae(params, clips.listener.reshape(6, 10, 58), method="encode")
    mean, std = (torch.tensor(np.asarray(x)) for x in (encoded.mean, jnp.exp(0.5 * encoded.log_variance)))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(0.0, 1.0)).sum() / 3
    assert float(metrics["kl"]) == pytest.approx(float(expected), rel=1e-4)


def test_latents_are_scaled_by_the_training_split(trained) -> None:
    """The range is measured when the denoiser's stage begins, on speakers and listeners."""
    clips = conversations(61, 8, 25)
    latents = METHOD._scaled(trained.variables, METHOD._encode(trained.variables.params, clips.speaker[:, :10]))
    assert 0.3 < float(jnp.abs(latents).max()) < 2
    assert not np.array_equal(trained.variables.state["latent_maximum"], np.ones(16))


def test_a_stage_leaves_the_other_alone_and_a_saved_run_goes_on_as_it_was(tmp_path, update) -> None:
    data = list(itertools.islice(batches(8, 25), 12))
    begun = start(METHOD, iter(data))
    begun = begun._replace(optimizer=begun.optimizer._replace(step=jnp.int32(58)))
    whole = train(METHOD, iter(data), begun, 58, 62, update)
    half = train(METHOD, iter(data), begun, 58, 60, update)
    resumed = train(METHOD, iter(data[2:]), saved_and_restored(half, tmp_path / "half.npz"), 60, 62, update)
    for a, b in zip(jax.tree.leaves(whole[:2]), jax.tree.leaves(resumed[:2]), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, first, last in (("vae", half, whole), ("denoiser", begun, half)):
        parts = [(run.variables.params[name], run.optimizer.parts[name]) for run in (first, last)]
        for a, b in zip(*map(jax.tree.leaves, parts), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("fields", [{}, {"online": True}, {"released": True}])
def test_answers(trained, fields) -> None:
    method = Belfusion(dataclasses.replace(TOY, **fields))
    clips = conversations(99, 2, 25)  # no multiple of the window
    answer = jax.jit(lambda speaker, keys: method.answer(trained.variables, Inputs(speaker), 3, keys=keys))
    keys = jax.random.split(jax.random.key(5), 2)
    found = np.asarray(answer(clips.speaker, keys))
    assert found.shape == (2, 3, 25, 58)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-3
    np.testing.assert_allclose(answer(clips.speaker[::-1], keys[::-1])[::-1], found, atol=1e-5)
    later = answer(clips.speaker.at[:, 12:].add(1.0), keys)
    # Online a window is answered from the one before it; else from the same.
    same = 20 if fields.get("online") else 10
    np.testing.assert_allclose(later[:, :, :same], found[:, :, :same], atol=1e-5)
    assert np.abs(later[:, :, same:] - found[:, :, same:]).max() > 1e-4


def test_released_windows_begin_in_the_first_frames(trained, monkeypatch) -> None:
    """The release never trains on later ones; here they may begin anywhere."""
    clips = conversations(0, 64, 200)

    def last_start(released: bool) -> int:
        method, seen = Belfusion(dataclasses.replace(TOY, released=released)), []
        monkeypatch.setattr(
            "reactface_jax.methods.belfusion.belfusion.cut",
            lambda x, start, frames: seen.append(start) or x[:, :frames],
        )

        @jax.jit  # what isn't returned isn't compiled
        def starts(key):
            method._denoiser_loss(trained.variables, clips, key)
            return seen[0]

        return int(starts(jax.random.key(1)).max())

    assert last_start(released=False) > 150
    assert last_start(released=True) <= 49


def test_what_is_refused(trained) -> None:
    method = Belfusion(dataclasses.replace(TOY, attributes=True))
    with pytest.raises(UserError, match="needs the speaker's 25 attributes"):
        method.loss(trained.variables, conversations(0, 1, 25), key=jax.random.key(0), step=jnp.int32(0))
    with pytest.raises(UserError, match="needs the speaker's 25 attributes"):
        method.begin(0, trained.variables, iter(()))
    with pytest.raises(UserError, match=r"clip-frames 9 is less than --belfusion\.window 10"):
        METHOD.loss(trained.variables, conversations(0, 1, 9), key=jax.random.key(0), step=jnp.int32(0))


def test_reacts_to_attributes() -> None:
    method = Belfusion(dataclasses.replace(TOY, attributes=True))
    speaker = jax.random.uniform(jax.random.key(0), (1, 20, 25))
    keys = jax.random.split(jax.random.key(5), 1)
    react = jax.jit(lambda variables: method.react(variables, speaker, 2, keys=keys))
    coefficients, attributes = react(jax.jit(method.init)(jax.random.key(1)))
    assert coefficients.shape == (1, 2, 20, 58)
    assert attributes.shape == (1, 2, 20, 25)
