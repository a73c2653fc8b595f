"""One device and eight fake ones compute the same step; the table of shardings says where things are."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from reactface_jax import sharding
from reactface_jax.config import load_config
from reactface_jax.errors import UserError
from reactface_jax.models.build import build_model
from reactface_jax.optimizer import frozen_patterns, make_optimizer
from reactface_jax.train_state import TrainState
from reactface_jax.training import init_params, make_train_step
from reactface_jax.types import SAMPLES_PER_FRAME, Batch

CONFIG = load_config(pathlib.Path(__file__).parents[2] / "configs" / "tiny.py", ["--train.batch-size", "8"])


def make_batch(seed: int = 0, size: int = 8, frames: int = 16, neighbours: int = 3) -> Batch:
    rng = np.random.default_rng(seed)
    side = CONFIG.data.image_size
    return Batch(
        video=rng.integers(0, 256, (size, frames, side, side, 3), dtype=np.uint8),
        audio=rng.standard_normal((size, frames * SAMPLES_PER_FRAME)).astype(np.float32),
        speaker=rng.standard_normal((size, frames, 58)).astype(np.float32),
        listener=rng.standard_normal((size, frames, 58)).astype(np.float32),
        neighbours=rng.standard_normal((size, neighbours, frames, 58)).astype(np.float32),
        neighbour_mask=rng.random((size, neighbours)) < [1.0, 0.7, 0.5],
        clip=np.arange(size),
    )


def one_step(devices):
    """The state after a step on these devices, and its metrics."""
    mesh = sharding.make_mesh(devices)
    # Without dropout, so that what differs is the order of sums alone; sampling stays.
    model_config = dataclasses.replace(
        CONFIG.model,
        dropout=0.0,
        audio=dataclasses.replace(
            CONFIG.model.audio,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            layer_dropout=0.0,
            mask_time_prob=0.0,
        ),
    )
    model = build_model(dataclasses.replace(model_config, window=CONFIG.train.window))
    # A large epsilon-free step would hide gradients behind Adam's sign: their norm is compared as well.
    optimizer = make_optimizer(CONFIG.optimizer, 10, frozen_patterns(CONFIG.model))

    def init():
        return TrainState.create(init_params(model, CONFIG, jax.random.key(1)), optimizer, jax.random.key(0))

    placement = sharding.shardings(jax.eval_shape(init), mesh)
    state = jax.jit(init, out_shardings=placement)()
    step = jax.jit(make_train_step(model, optimizer, CONFIG), donate_argnums=0, out_shardings=(placement, None))
    return step(state, sharding.place_batch(make_batch(), mesh))


def test_eight_devices_compute_what_one_does():
    devices = jax.devices()
    assert len(devices) == 8
    (one, metrics_one), (eight, metrics_eight) = one_step(devices[:1]), one_step(devices)
    for name, value in metrics_one.items():
        np.testing.assert_allclose(metrics_eight[name], value, rtol=2e-5, err_msg=name)
    # The first moments are 0.1 times the gradients.
    for x, y in zip(jax.tree.leaves(one.opt_state), jax.tree.leaves(eight.opt_state), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5 * max(np.abs(x).max(), 1.0))
    for x, y in zip(jax.tree.leaves(one.params), jax.tree.leaves(eight.params), strict=True):
        assert len(y.devices()) == 8
        np.testing.assert_allclose(x, y, atol=2.1 * CONFIG.optimizer.learning_rate)


def test_batch_is_dealt_to_the_devices():
    mesh = sharding.make_mesh()
    assert mesh.shape == {"data": 8, "fsdp": 1, "model": 1}
    batch = sharding.place_batch(make_batch(), mesh)
    assert batch.video.addressable_shards[0].data.shape[0] == 1
    np.testing.assert_array_equal(batch.clip, np.arange(8))


def test_every_leaf_of_the_state_has_a_place():
    mesh = sharding.make_mesh()
    placed = sharding.shardings({"params": {"a": {"kernel": np.zeros((2, 2))}}, "step": 0}, mesh)
    everywhere = NamedSharding(mesh, PartitionSpec())
    assert placed == {"params": {"a": {"kernel": everywhere}}, "step": everywhere}


def test_the_first_matching_rule_counts_and_no_match_is_an_error(monkeypatch):
    rules = ((r"embed/kernel$", PartitionSpec("fsdp")), (r"kernel$", PartitionSpec(None, "fsdp")))
    monkeypatch.setattr(sharding, "RULES", rules)
    assert sharding.spec("params/embed/kernel") == PartitionSpec("fsdp")
    assert sharding.spec("params/dense/kernel") == PartitionSpec(None, "fsdp")
    with pytest.raises(ValueError, match=r"no rule .* matches params/dense/bias"):
        sharding.spec("params/dense/bias")


def test_a_batch_that_can_not_be_dealt_is_refused():
    with pytest.raises(UserError, match=r"--train.batch-size 6 can't be dealt to 8 devices; take a multiple of 8"):
        sharding.check_batch_size(6, sharding.make_mesh())
