"""Rows that learn by steps go through the same loop as ReactFace: state, stages, resuming, validation, batches."""

import dataclasses
import logging
import re

import jax
import numpy as np
import optax
import pytest
from learned_row import Offset
from training_run import ROOT, assert_same, configure, make_batch, make_clips, make_data

from reactface_jax.config import Config, MeshConfig, config_from_json
from reactface_jax.errors import UserError
from reactface_jax.methods import Inputs, rows
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.ready import held
from reactface_jax.methods.trained import TrainedMethod, make_trained
from reactface_jax.training import sharding
from reactface_jax.training.divergence import read_dump
from reactface_jax.training.loop import train
from reactface_jax.training.methods import make_objective
from reactface_jax.training.program import make_program
from reactface_jax.training.replay_diverged_step import replay
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")

WORDS = ("--method", "zhou", "--data.clip-frames", "16")


@pytest.fixture(autouse=True)
def offset_is_a_row(monkeypatch):
    monkeypatch.setitem(rows.ROWS, "zhou", lambda config: Offset())


def without_pictures(step):
    return make_batch(step)._replace(video=np.zeros((2, 16, 0, 0, 3), np.uint8))


def scored_data(batch=without_pictures):
    return dataclasses.replace(make_data(batch), validation_clips=make_clips)


def test_two_parts_are_the_whole_also_across_a_stage(tmp_path):
    """The second stage begins after two updates: with what is measured then, on training's own batches."""
    words = (*WORDS, "--train.ema", "0.9", "--train.eval-every", "2")
    whole = train(configure(*words, "--train.steps", "4"), tmp_path / "whole", scored_data())
    assert int(whole.method_state["begun"]) == 2
    assert float(whole.method_state["updates"]) == 4
    mean = sum(np.mean([without_pictures(s).speaker.mean((0, 1)) for s in (at, at + 1)], axis=0) for at in (0, 2))
    np.testing.assert_allclose(whole.method_state["mean"], mean, rtol=1e-5)
    assert load_run(tmp_path / "whole", "best").step == 4  # validations of the first stage do not count

    for stop in ("2", "3"):
        parts = tmp_path / stop
        train(configure(*words, "--train.steps", stop), parts, scored_data())
        assert_same(whole, train(configure(*words, "--train.steps", "4"), parts, scored_data(), resume=True))
        run = load_run(parts)
        assert_same(run.params, whole.average)
        assert_same(run.method_state, whole.method_state)

    other = train(configure(*words, "--train.steps", "4", "--train.seed", "1"), tmp_path / "seed", scored_data())
    assert np.any(np.asarray(other.params["gain"]) != np.asarray(whole.params["gain"]))


def test_a_last_stage_that_never_begins_is_said_and_may_come_later(tmp_path, caplog):
    """Also where the configuration has a cosine, which is not this row's."""
    words = (*WORDS, "--optimizer.schedule", "cosine")
    train(configure(*words, "--train.steps", "2"), tmp_path, make_data(without_pictures))
    assert "--train.steps 2 ends before the last stage begins, at step 2" in caplog.text
    assert "go on with --resume" in caplog.text
    caplog.clear()
    state = train(configure(*words, "--train.steps", "3"), tmp_path, make_data(without_pictures), resume=True)
    assert "the last stage" not in caplog.text
    assert int(state.step) == 3


def test_the_average_forgets_where_a_stage_began(tmp_path):
    config = configure(*WORDS, "--train.steps", "4", "--train.ema", "0.9", "--train.checkpoint-every", "1")
    train(config, tmp_path, make_data(without_pictures))
    gains, averages = (
        {step: load_run(tmp_path, step, average=average).params["gain"] for step in (2, 3, 4)}
        for average in (False, True)
    )
    expected = gains[2]  # the second stage begins after two updates, and the average with it
    for step, number in ((3, 1), (4, 2)):
        decay = (1 + number) / (10 + number)
        expected = decay * expected + (1 - decay) * gains[step]
        np.testing.assert_allclose(averages[step], expected, rtol=1e-5)


def test_what_a_row_does_not_use_is_said(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    words = ("--optimizer.learning-rate", "1e-9", "--optimizer.clip-norm", "1")
    train(configure(*WORDS, *words), tmp_path, make_data(without_pictures), dry_run=True)
    unused = "optimizer.learning_rate, optimizer.clip_norm"
    assert f"not used by zhou: {unused}; it learns by zhou.learning_rate" in caplog.text
    caplog.clear()
    train(configure(*words, "--model.no-use-video"), tmp_path, make_data(), dry_run=True)
    assert "not used" not in caplog.text


def test_the_loss_falls_and_the_log_says_what_runs(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(rows.ROWS, "zhou", lambda config: Offset(stages=(0, 40)))
    batch = without_pictures(0)
    batch = batch._replace(listener=0.5 * batch.speaker + 0.3)
    train(configure(*WORDS, "--train.steps", "60"), tmp_path, make_data(lambda step: batch))
    losses = [float(found) for found in re.findall(r"step \d+/60  loss (\S+)", caplog.text)]
    assert losses[-1] < 0.7 * losses[0]
    assert "without pictures, method zhou" in caplog.text
    assert "parameters: 116 (0 frozen)" in caplog.text
    assert "validation on 3 clips: loss" in caplog.text


def test_eight_devices_compute_what_one_does():
    config = configure(*WORDS, "--train.batch-size", "8")
    batch = make_batch(0, size=8)._replace(video=np.zeros((8, 16, 0, 0, 3), np.uint8))
    results = []
    for devices, layout in ((jax.devices()[:1], MeshConfig()), (jax.devices(), MeshConfig(data=2, fsdp=4))):
        mesh = sharding.make_mesh(devices, layout)
        program = make_program(config, mesh)
        state = program.begin_stage(program.start(), 0, lambda: iter([batch] * 2))
        after, metrics = jax.device_get(program.step(state, sharding.place_batch(batch, mesh)))
        # The first moment is a tenth of the gradient; of the parameters Adam would make a sign of what is rounded.
        results.append((metrics, after.method_state, optax.tree.get(after.opt_state, "mu")))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *results)


def test_a_dry_run_and_a_replay(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(configure(*WORDS), tmp_path / "dry", make_data(without_pictures), dry_run=True)
    assert "batch.video: uint8 [2, 16, 0, 0, 3]" in caplog.text
    assert "state.method_state: 3 arrays" in caplog.text

    def broken(step):
        batch = without_pictures(step)
        return batch._replace(listener=np.full_like(batch.listener, np.nan)) if step == 1 else batch

    advice = r"diverged at step 2: .* start again without a damaged clip or with a lower --zhou.learning-rate$"
    with pytest.raises(UserError, match=advice):
        train(configure(*WORDS, "--train.steps", "3"), tmp_path / "run", make_data(broken))
    dump = read_dump(tmp_path / "run" / "diverged-step-2.npz")
    assert float(dump.variables.state["updates"]) == 1
    assert "input listener is not finite in row 0, row 1" in list(replay(make_objective(dump.config).gradient, dump))


def test_what_does_not_fit_a_row_gets_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"--train.accumulate 2 is not for Offset, which keeps statistics"):
        train(configure(*WORDS, "--train.accumulate", "2"), tmp_path / "parts", make_data(without_pictures))
    with pytest.raises(UserError, match=r"--train.pretrained-audio is for a model that hears"):
        train(configure(*WORDS, "--train.pretrained-audio", "x"), tmp_path / "a", make_data(without_pictures))
    with pytest.raises(UserError, match=r"--method mirror does not fit: give reactface, trans-ae, "):
        configure("--method", "mirror")
    train(configure(*WORDS, "--train.steps", "1"), tmp_path / "run", make_data(without_pictures))
    with pytest.raises(UserError, match=r"of another configuration .method: 'zhou' there, 'reactface' here"):
        train(configure("--train.steps", "2"), tmp_path / "run", make_data(), resume=True)
    monkeypatch.delitem(rows.ROWS, "zhou")
    with pytest.raises(UserError, match="--method zhou can't be trained here; give reactface"):
        train(configure(*WORDS), tmp_path / "unknown", make_data(without_pictures))


def test_runs_from_before_there_were_methods_are_of_reactface():
    values = dataclasses.asdict(Config())
    del values["method"]
    assert config_from_json(values) == Config()


def test_the_example_of_contributing_learns_and_answers(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    names: dict = {}
    exec((ROOT / "CONTRIBUTING.md").read_text().split("```python\n")[2].split("```")[0], names)
    monkeypatch.setitem(rows.ROWS, "zhou", lambda config: names["Follower"]())
    batch = without_pictures(0)
    batch = batch._replace(listener=np.pad(0.7 * batch.speaker, [(0, 0), (2, 0), (0, 0)])[:, :-2])
    train(configure(*WORDS, "--train.steps", "150"), tmp_path, make_data(lambda step: batch))
    losses = [float(found) for found in re.findall(r"step \d+/150  loss (\S+)", caplog.text)]
    assert losses[-1] < losses[0] - 2

    run = load_run(tmp_path)
    method = make_trained(run.config, Variables(run.params, run.method_state), run.mean_face)
    assert isinstance(method, TrainedMethod)
    seen = batch.speaker + run.mean_face
    reactions = method.generate(Inputs(speaker=seen), 3, key=jax.random.key(0))
    assert reactions.shape == (2, 3, 16, 58)
    np.testing.assert_allclose(reactions.mean((1, 2)), (batch.listener + run.mean_face).mean(1), atol=0.15)
    assert np.any(reactions[:, 0] != reactions[:, 1])

    # A lost face is held; each clip has reactions of its own; what it needs must be there.
    lost = seen.copy()
    lost[0, 5:9] = np.nan
    still = seen.copy()
    still[0, 5:9] = seen[0, 4]
    answers = [method.generate(Inputs(speaker=x), 3, key=jax.random.key(0)) for x in (lost, still)]
    np.testing.assert_array_equal(*answers)
    np.testing.assert_array_equal(answers[0][1], reactions[1])
    with pytest.raises(UserError, match="Follower needs the speaker's coefficients"):
        method.generate(Inputs(audio=batch.audio), key=jax.random.key(0))
    with pytest.raises(UserError, match=r"--protocol clip is for ReactFace; leave it out for Follower"):
        make_trained(run.config, method.variables, run.mean_face, "clip")


def test_faces_that_were_lost_are_held():
    speaker = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    speaker[0, 0, 1] = np.nan
    speaker[1] = np.nan
    found = held(speaker, np.array([7, 8], np.float32))
    np.testing.assert_array_equal(found, [[[2, 3], [2, 3], [4, 5]], [[7, 8]] * 3])
