"""How the listener learns: resumed, interrupted, diverged, damaged."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_listener import SIZES, TRAINING, make_data

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods.listener import load_weights, training, training_data
from reactface_jax.methods.listener.config import ListenerConfig, ListenerData, ListenerSizes, ListenerTraining
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


@pytest.fixture(scope="module")
def half(data, tmp_path_factory):
    """A training that stopped half way."""
    folder = tmp_path_factory.mktemp("half")
    train(ListenerConfig(SIZES, TRAINING), data, folder, [].append, block=2, stop_after=2)
    return folder


@pytest.fixture
def begun(half, tmp_path):
    """A copy of it."""
    return shutil.copytree(half, tmp_path / "begun")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"is of another configuration \(train.seed: 0 there, 1 here\); keep its values"),
        (
            {"learning_rate": 0.5, "steps": 6},
            r"\(train.steps: 4 there, 6 here; train.learning_rate: 0.0015 there, 0.5 here\); .*--overwrite or another",
        ),
    ],
)
def test_a_training_goes_on_with_its_own_configuration_only(begun, data, changes, message):
    other = ListenerConfig(SIZES, dataclasses.replace(TRAINING, **changes))
    before = {path.name: path.read_bytes() for path in begun.iterdir()}
    with pytest.raises(UserError, match=message):
        train(other, data, begun, [].append, block=2)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


def test_a_wrong_configuration_is_refused_before_conversations_are_made(begun, monkeypatch):
    monkeypatch.setattr(training_data, "listening_data", lambda config: pytest.fail("takes minutes"))
    before = {path.name: path.read_bytes() for path in begun.iterdir()}
    other = ListenerConfig(SIZES, dataclasses.replace(TRAINING, seed=1))
    with pytest.raises(UserError, match=r"is of another configuration \(train.seed: 0 there, 1 here\)"):
        training_data.train_listener(other, begun, resume=True, log=[].append)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


def test_data_are_the_same_wherever_they_lie_and_however_they_are_read(begun, data):
    for changes in ({"seed": 5}, {"scripts": 7}, {"seconds": 9.0}, {"dir": "shards", "neighbours": 3}):
        other = ListenerConfig(SIZES, TRAINING, ListenerData(**changes))
        name = list(changes)[-1]
        with pytest.raises(UserError, match=rf"configuration \(data.{name}: \d+(\.0)? there, {changes[name]} here\)"):
            train(other, data, begun, [].append, block=2)
    moved = ListenerData(cache="elsewhere.npz", workers=3, neighbours=9)  # made conversations have no neighbours
    lines: list[str] = []
    train(ListenerConfig(SIZES, TRAINING, moved), data, begun, lines.append, block=2)
    assert "goes on from step 2" in lines[0]


@pytest.mark.parametrize(("folder", "drawn"), [("", True), ("shards", False)])
def test_speakers_of_shards_are_measured_already(folder, drawn, data, tmp_path, monkeypatch):
    asked = []

    def stop(network, config, drawn, *rest):
        asked.append(drawn)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_steps", stop)
    with pytest.raises(KeyboardInterrupt):
        train(ListenerConfig(SIZES, TRAINING, ListenerData(dir=folder)), data, tmp_path, [].append)
    assert asked == [drawn]


def test_a_training_goes_on_with_its_own_data_only(begun, data):
    config = ListenerConfig(SIZES, TRAINING)
    moved = data.listener.copy()
    moved[0, 0, :, 3] += 0.1
    others = (
        (data._replace(listener=moved), "listener"),
        (data._replace(speaker=data.speaker[::-1], sound=data.sound[::-1]), "speaker and sound"),
        (data._replace(person=1 - data.person), "person"),
        (data._replace(talks=np.array([1, 0, 0])), "talks"),
        (
            ListeningData(data.speaker[:3], data.sound[:3], data.listener[:3], data.person[:3], data.form, data.talks),
            "",
        ),
    )
    for other, names in others:
        with pytest.raises(UserError, match=rf"is of other data: {names}.* differ; give its own --data.dir"):
            train(config, other, begun, [].append, block=2)


def test_parameters_stay_in_the_space_that_they_were_learnt_in(begun, data, tmp_path, monkeypatch):
    """Another processor's rounding may turn a component round."""
    config = ListenerConfig(SIZES, TRAINING)
    first = load_weights(begun / "listener.safetensors")
    fitted = training.fit_space

    def turned(*arguments):
        space, rests = fitted(*arguments)
        return space._replace(encode=-space.encode, decode=-space.decode), rests

    monkeypatch.setattr(training, "fit_space", turned)
    rounded = data._replace(listener=data.listener * np.float32(1 + 1e-6))
    resumed = load_weights(train(config, rounded, begun, [].append, block=2))
    np.testing.assert_array_equal(resumed.space.encode, first.space.encode)
    anew = load_weights(train(config, data, begun, [].append, block=2, anew=True))
    np.testing.assert_array_equal(anew.space.encode, -first.space.encode)


def test_a_training_of_an_older_version_goes_on(begun, data):
    """Its state holds neither configuration nor data."""
    state = begun / "training_state.npz"
    with np.load(state) as file:
        arrays = {name: file[name] for name in file.files if name.startswith("arr_")}
    np.savez(state, **arrays)
    lines: list[str] = []
    other = ListenerConfig(SIZES, dataclasses.replace(TRAINING, seed=1))
    train(other, data, begun, lines.append, block=2)
    assert "goes on from step 2" in lines[0]
    assert "of an older version and does not say of which configuration and data" in lines[1]
    with pytest.raises(UserError, match=r"train.seed: 1 there, 0 here"):  # it does now
        train(ListenerConfig(SIZES, TRAINING), data, begun, [].append)


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
def test_a_training_that_diverged_leaves_what_was_saved(begun, data, monkeypatch, broken):
    config = ListenerConfig(SIZES, TRAINING)
    before = {path.name: path.read_bytes() for path in begun.iterdir()}
    steps = training._steps

    def diverges(*arguments):
        state, losses = steps(*arguments)
        if broken == "loss":
            return state, losses | {"mean": losses["mean"].at[0].set(jnp.nan)}
        return state._replace(average=jax.tree.map(lambda leaf: leaf * jnp.inf, state.average)), losses

    monkeypatch.setattr(training, "_steps", diverges)
    step = {"loss": 3, "gradient": 4}[broken]
    with pytest.raises(UserError, match=f"the training diverged at step {step}; .* give a lower --train.learning-rate"):
        train(config, data, begun, [].append, block=2)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


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
