"""Trans-VAE: one training, reactions offline and online, and what is refused."""

import dataclasses
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_training import batches, conversations, expected, saved_and_restored, start, stepper, train

from reactface_jax.config.trans_vae import TransVaeConfig
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import LearnedMethod, Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.trans_vae.trans_vae import TransVae

TOY = TransVaeConfig(feature_dim=8, window=4, eval_window=4, learning_rate=1e-3)
OFFLINE = TransVae(TOY)
ONLINE = TransVae(dataclasses.replace(TOY, online=True))
IMAGE = 32


class Colours(nn.Module):
    """Stands in for the speaker's encoder, whose gradient takes long to compile; the training loop's test has it."""

    feature_dim: int
    chunk: int = 0

    @nn.compact
    def __call__(self, video, mfcc, length=None):
        return nn.Dense(self.feature_dim)(jnp.concatenate([video.mean((2, 3)), mfcc], axis=-1))


@pytest.mark.parametrize("method", [pytest.param(OFFLINE, marks=pytest.mark.long), ONLINE], ids=["offline", "online"])
def test_the_loss_falls_and_a_saved_run_goes_on_as_it_was(tmp_path, monkeypatch, method) -> None:
    monkeypatch.setattr("reactface_jax.methods.trans_vae.network.SpeakerEncoder", Colours)
    assert isinstance(method, LearnedMethod)
    update, data = stepper(method), list(itertools.islice(batches(2, 10, IMAGE), 4))
    begun = start(method, iter(data))
    whole = train(method, itertools.cycle(data), begun, 0, 4, update)
    half = train(method, iter(data), begun, 0, 2, update)
    resumed = train(method, iter(data[2:]), saved_and_restored(half, tmp_path / "half.npz"), 2, 4, update)
    for a, b in zip(jax.tree.leaves(whole[:2]), jax.tree.leaves(resumed[:2]), strict=True):
        np.testing.assert_array_equal(a, b)
    longer = train(method, itertools.cycle(data), whole, 4, 30, update)
    for step in longer.metrics:
        regular = 1e-5 * step["kl"] + 10 * step["alike"]
        assert step["loss"] == pytest.approx(step["expression"] + 10 * step["pose"] + regular, rel=1e-5)
        assert 0 < step["alike"] <= 1
    before, after = (expected(method, state.variables, data[0], 0, "loss") for state in (begun, longer))
    assert after < 0.8 * before


def react(method, clips, count):
    keys = jax.random.split(jax.random.key(5), len(clips.clip))
    variables = jax.jit(method.init)(jax.random.key(1))
    answer = jax.jit(lambda inputs: method.answer(variables, inputs, count, keys=keys))
    return np.asarray(answer(Inputs(audio=clips.audio, video=clips.video)))


def test_answers_offline() -> None:
    found = react(OFFLINE, conversations(9, 2, 10, IMAGE), 3)
    assert found.shape == (2, 3, 10, 58)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-3


def test_online_frames_do_not_depend_on_later_windows() -> None:
    clips = conversations(9, 1, 10, IMAGE)
    found = react(ONLINE, clips, 2)
    assert found.shape == (1, 2, 10, 58)
    assert np.abs(found[:, :, 8:]).min() > 0  # the last window is filled up
    later = clips._replace(video=clips.video.at[:, 4:].set(0), audio=clips.audio.at[:, 4 * 640 :].set(0))
    changed = react(ONLINE, later, 2)
    np.testing.assert_allclose(changed[:, :, :4], found[:, :, :4], atol=1e-5)
    assert np.abs(changed[:, :, 4:] - found[:, :, 4:]).max() > 1e-3


def test_released_leaves_the_last_frames_zero() -> None:
    method = TransVae(dataclasses.replace(TOY, online=True, released=True))
    found = react(method, conversations(9, 1, 10, IMAGE), 1)
    assert not found[:, :, 8:].any()
    assert np.abs(found[:, :, :8]).min() > 0


def test_released_leaves_a_clip_shorter_than_a_window_zero() -> None:
    method = TransVae(dataclasses.replace(TOY, online=True, released=True))
    found = react(method, conversations(9, 1, 3, IMAGE), 2)
    assert found.shape == (1, 2, 3, 58)
    assert not found.any()


def test_what_is_refused() -> None:
    method = TransVae(dataclasses.replace(TOY, attributes=True))
    variables, clips = Variables({}, {}), conversations(0, 1, 3, IMAGE)
    with pytest.raises(UserError, match=r"--trans-vae\.attributes can't be trained"):
        method.begin(0, variables, iter(()))
    with pytest.raises(UserError, match=r"--trans-vae\.attributes can't be trained"):
        method.loss(variables, clips, key=jax.random.key(0), step=jnp.int32(0))
    with pytest.raises(UserError, match=r"clip-frames 3 is less than --trans-vae\.window 4"):
        ONLINE.loss(variables, clips, key=jax.random.key(0), step=jnp.int32(0))
    with pytest.raises(UserError, match=r"trans_vae\.feature_dim 6 must be a multiple of 4"):
        TransVaeConfig(feature_dim=6)
