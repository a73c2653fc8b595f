"""What a configuration may ask of training: averages, frozen parameters, decay, batches in parts; and divergence."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_run import FRAMES, StandIn, assert_same, configure, make_batch, make_data

from reactface_jax.config import OptimizerConfig
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import Variables
from reactface_jax.optimizer import make_optimizer
from reactface_jax.training.divergence import read_dump
from reactface_jax.training.loop import train
from reactface_jax.training.reactface_objective import make_gradient
from reactface_jax.training.replay_diverged_step import replay
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")


def test_the_average_follows_and_is_what_a_run_is_used_with(tmp_path, stand_in):
    config = configure("--train.steps", "3", "--train.ema", "0.9", "--train.checkpoint-every", "1")
    state = train(config, tmp_path / "whole", make_data())
    params = [load_run(tmp_path / "whole", step, average=False).params for step in (1, 2, 3)]
    flat = [np.asarray(p["listener"]["reaction_decoder"]["map"]["kernel"]) for p in params]
    averages = [
        np.asarray(load_run(tmp_path / "whole", step).params["listener"]["reaction_decoder"]["map"]["kernel"])
        for step in (1, 2, 3)
    ]
    for step in (2, 3):  # early on the average forgets faster than its decay
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * averages[step - 2] + (1 - decay) * flat[step - 1]
        np.testing.assert_allclose(averages[step - 1], expected, rtol=1e-5)
    assert not np.array_equal(averages[2], flat[2])
    assert_same(state.best_params, load_run(tmp_path / "whole").params)

    train(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2)), tmp_path / "p", make_data())
    assert_same(state, train(config, tmp_path / "p", make_data(), resume=True))


def test_frozen_paths_stay_and_decay_pulls_at_what_it_names(tmp_path, stand_in):
    words = ["--train.steps", "2", "--optimizer.frozen", "reaction_decoder"]
    state = train(configure(*words), tmp_path / "frozen", make_data())
    start = train(configure("--train.steps", "1", *words[2:]), tmp_path / "one", make_data())
    assert_same(state.params["listener"], start.params["listener"])
    with pytest.raises(UserError, match=r"--optimizer.frozen encoder7 matches no parameter; .* such as listener"):
        train(configure("--optimizer.frozen", "encoder7"), tmp_path / "none", make_data())

    # With a learning rate of 1 and no gradient to speak of, what decays shrinks by the decay.
    params = {"a": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
    for decayed, bias in ((".*", 0.9), ("kernel$", 1.0)):
        config = OptimizerConfig(learning_rate=1.0, weight_decay=0.1, decayed=decayed)
        optimizer = make_optimizer(config, 10)
        updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
        after = jax.tree.map(jnp.add, params, updates)
        np.testing.assert_allclose(after["a"]["kernel"], 0.9, rtol=1e-6)
        np.testing.assert_allclose(after["a"]["bias"], bias, rtol=1e-6)


def test_a_batch_in_parts_is_the_whole_batch():
    config = configure("--train.batch-size", "4", "--model.dropout", "0")
    batch = make_batch(0, size=4)
    model = StandIn(config.model)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(1)}
    variables = Variables(model.init(keys, batch.video / 255, batch.audio)["params"], {})
    results = []
    for parts in (1, 2, 4):
        train_config = dataclasses.replace(config.train, accumulate=parts)
        gradient = make_gradient(model, dataclasses.replace(config, train=train_config))
        results.append(jax.jit(gradient)(variables, batch, jax.random.key(2), jnp.zeros((), jnp.int32)))
    for other in results[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), results[0], other)
    with pytest.raises(UserError, match=r"train.batch_size 4 must be a multiple of train.accumulate 3"):
        configure("--train.batch-size", "4", "--train.accumulate", "3")


def test_a_loss_that_is_not_finite_stops_with_its_step_and_part_and_is_not_saved(tmp_path, stand_in):
    def batch(step):
        return make_batch(step)._replace(speaker=np.full((2, FRAMES, 58), np.nan if step == 2 else 0, np.float32))

    config = configure("--train.steps", "8", "--train.log-every", "4", "--train.checkpoint-every", "2")
    data = dataclasses.replace(make_data(batch), clip_ids=("val/a", "val/b"))
    advice = "start again without a damaged clip, with a lower --optimizer.learning-rate or with --optimizer.clip-norm"
    with pytest.raises(UserError, match=rf"diverged at step 3: .*speaker is nan.*val/a, val/b; .*replay.* {advice} 1$"):
        train(config, tmp_path, data)
    assert load_run(tmp_path).step == 2

    # The dump holds that batch, and the parameters that had not yet met it: those of the checkpoint before.
    dump = read_dump(tmp_path / "diverged-step-3.npz")
    assert_same(dump.variables.params, load_run(tmp_path).params)
    gradient = make_gradient(StandIn(config.model), config)
    assert_same(dump.batch, batch(2))
    lines = list(replay(gradient, dump))
    assert "input speaker is not finite in val/a, val/b" in lines
    assert "speaker: nan" in lines
    assert any(line.startswith("gradient of") for line in lines)
    assert "finite here" not in lines
    assert list(replay(gradient, dump._replace(batch=make_batch(2))))[-1] == "finite here"


def test_paired_data_are_compared_with_their_own_listener(stand_in):
    """Whoever else would be appropriate does not count, nor does who that is."""
    config = configure("--model.dropout", "0", "--loss.target", "paired")
    assert config.num_neighbours == 1
    batch = make_batch(0)
    model = StandIn(config.model)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(1)}
    variables = Variables(model.init(keys, batch.video / 255, batch.audio)["params"], {})

    def reconstruction(config, batch):
        gradient = jax.jit(make_gradient(model, config))
        return float(gradient(variables, batch, jax.random.key(2), jnp.zeros((), jnp.int32))[0]["reconstruction"])

    paired = reconstruction(config, batch)
    elsewhere = batch._replace(neighbours=batch.neighbours + 1)
    assert reconstruction(config, elsewhere) == paired
    own = batch._replace(neighbours=batch.listener[:, None], neighbour_mask=np.ones((2, 1), bool))
    appropriate = configure("--model.dropout", "0")
    assert reconstruction(appropriate, own) == pytest.approx(paired, rel=1e-6)
    assert reconstruction(appropriate, batch) != pytest.approx(paired, rel=1e-4)
