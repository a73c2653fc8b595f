"""How the listener learns: resumed, interrupted, diverged, damaged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_listener import SIZES, TRAINING, make_data

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods.listener import load_weights, training
from reactface_jax.methods.listener.config import ListenerConfig, ListenerSizes, ListenerTraining
from reactface_jax.methods.listener.training import ListeningData, train


@pytest.fixture(scope="module")
def data() -> ListeningData:
    return make_data()


@pytest.mark.parametrize("head", ["flow", pytest.param("mixture", marks=pytest.mark.long)])
def test_an_interrupted_training_ends_in_the_same_weights(data, tmp_path, head):
    sizes = ListenerSizes(**{**vars(SIZES), "head": head})
    config = ListenerConfig(sizes, TRAINING)
    quiet: list[str] = []
    whole = load_weights(train(config, data, tmp_path / "a", quiet.append, block=2))
    train(config, data, tmp_path / "b", quiet.append, block=2, stop_after=2)
    resumed = load_weights(train(config, data, tmp_path / "b", quiet.append, block=2, names=("jaw", "brow")))
    assert (whole.names, resumed.names) == (COEFFICIENT_NAMES, ("jaw", "brow"))
    assert any("goes on from step 2" in line for line in quiet)
    jax.tree.map(np.testing.assert_array_equal, whole.params, resumed.params)
    wider = ListenerConfig(ListenerSizes(**{**vars(sizes), "own_width": 7}), TRAINING)
    with pytest.raises(UserError, match="of a training of another network; give its own configuration"):
        train(wider, data, tmp_path / "b", quiet.append)


def test_weights_that_could_not_be_written_are_written_by_a_resume(data, tmp_path, monkeypatch):
    def fails(path, weights):
        raise UserError("the disk is full")

    config = ListenerConfig(SIZES, TRAINING)
    with monkeypatch.context() as broken:
        broken.setattr(training, "save_weights", fails)
        with pytest.raises(UserError, match="disk is full"):
            train(config, data, tmp_path, [].append, block=2)
    whole = load_weights(train(config, data, tmp_path / "whole", [].append, block=2))
    resumed = load_weights(train(config, data, tmp_path, [].append, block=2))
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_training_that_diverged_leaves_what_was_saved(data, tmp_path, monkeypatch, broken):
    config = ListenerConfig(SIZES, TRAINING)
    train(config, data, tmp_path, [].append, block=2, stop_after=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    steps = training._steps

    def diverges(*arguments):
        state, losses = steps(*arguments)
        if broken == "loss":
            return state, losses | {"mean": losses["mean"].at[0].set(jnp.nan)}
        return state._replace(average=jax.tree.map(lambda leaf: leaf * jnp.inf, state.average)), losses

    monkeypatch.setattr(training, "_steps", diverges)
    step = {"loss": 3, "gradient": 4}[broken]
    with pytest.raises(UserError, match=f"the training diverged at step {step}; .* give a lower --train.learning-rate"):
        train(config, data, tmp_path, [].append, block=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_damaged_training_and_clips_shorter_than_a_chunk_get_a_sentence(data, tmp_path):
    config = ListenerConfig(SIZES, TRAINING)
    state = tmp_path / "training_state.npz"
    np.savez(state, np.zeros(3))
    for content in (state.read_bytes()[:-30], b"", b"text"):
        state.write_bytes(content)
        with pytest.raises(UserError, match=r"training_state.npz is damaged; give --overwrite to start again"):
            train(config, data, tmp_path, [].append)
    short = data._replace(speaker=data.speaker[:, :, :4], sound=data.sound[:, :4], listener=data.listener[:, :, :4])
    with pytest.raises(UserError, match=r"the clips have 4 frames, fewer than model.chunk 5; give longer ones"):
        train(config, short, tmp_path / "short", [].append)


def test_what_was_learnt_lowers_the_loss(data, tmp_path):
    lines: list[str] = []
    config = ListenerConfig(
        SIZES, ListenerTraining(steps=60, warmup_steps=5, cycles=1, batch_size=4, learning_rate=1e-2)
    )
    train(config, data, tmp_path, lines.append, block=20)
    losses = [float(line.split("draw ")[1].split(",")[0]) for line in lines]
    assert losses[-1] < 0.9 * losses[0]
