"""Validation in training: the measures of evaluation, the best checkpoint, the early end."""

import dataclasses
import logging
import struct

import jax
import jaxtyping
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from training_run import StandIn, configure, make_batch, make_clips, make_data

from reactface_jax import metrics
from reactface_jax.errors import UserError
from reactface_jax.evaluation.rows import clip_noise
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.training import loop as training
from reactface_jax.training.loop import TrainingData, train
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")


def make_scored_data(batch=make_batch) -> TrainingData:
    return dataclasses.replace(make_data(batch), validation_clips=make_clips)


def curve(workdir, name: str) -> dict[int, float]:
    """A scalar of TensorBoard, by step."""
    found = {}
    for path in sorted((workdir / "tensorboard").glob("events*")):
        for record in read_events(path):
            for value in record.summary.value:
                if value.tag == name:
                    found[record.step] = value.simple_value if value.HasField("simple_value") else value.image.height
    return found


def read_events(path):
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def test_validation_measures_what_evaluation_does_and_the_best_is_kept(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    words = ["--train.steps", "6", "--train.eval-every", "2", "--train.keep-checkpoints", "1"]
    words += ["--train.checkpoint-every", "6", "--optimizer.learning-rate", "1e-2"]
    config = configure(*words)
    train(config, tmp_path, make_scored_data())
    measured = curve(tmp_path, "validation/FRCorr")
    assert sorted(measured) == [2, 4, 6]
    assert {"validation/FRDist", "validation/FRDiv", "validation/FRSyn", "validation/FRVar", "validation/FRDvs"} <= {
        name
        for name in map("validation/{}".format, ("FRDist", "FRDiv", "FRSyn", "FRVar", "FRDvs"))
        if len(curve(tmp_path, name)) == 3
    }
    assert curve(tmp_path, "validation/reactions")[6] > 100  # a picture, so many pixels high
    assert "validation on 3 clips" in caplog.text

    # The newest checkpoint and the best one are there, and the best one's figure is that of evaluation's own code.
    best = max(measured, key=lambda step: measured[step])
    run = load_run(tmp_path, "best")
    assert run.step == best
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdecimal()}
    assert kept == {best, 6}
    data, clips = make_data(), make_clips()
    noise_root = jax.random.key(config.eval.seed)
    answers = []
    for batch in data.validation_batches():
        noise = clip_noise(noise_root, batch.clip, (3, 2, config.model.feature_dim))
        listener = (
            StandIn(config.model)
            .apply({"params": run.params}, to_unit_range(batch.video), batch.audio, num_reactions=3, noise=noise)
            .listener
        )
        answers.append(np.asarray(listener)[batch.clip >= 0])
    prediction = np.concatenate(answers) + data.mean_face
    scores = metrics.compute(prediction, clips.speaker, clips.listener, clips.neighbours)
    np.testing.assert_allclose(measured[best], scores["FRCorr"], rtol=1e-4)


def test_a_run_whose_score_rises_no_more_ends_and_resuming_remembers_the_best(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    words = ["--train.eval-every", "1", "--train.patience", "2", "--train.keep-checkpoints", "2"]
    words += ["--optimizer.learning-rate", "1e-9"]  # nothing is learnt: the first validation stays the best, or nearly
    scores = iter([3.0, 2.0, 2.5, 9.0])

    def worse(*_):
        return {"FRCorr": next(scores)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "score", worse)
        train(configure(*words, "--train.steps", "2"), tmp_path, make_scored_data())
        state = train(configure(*words, "--train.steps", "9"), tmp_path, make_scored_data(), resume=True)
    assert int(state.step) == 3  # two validations after the best one, of which one was before the restart
    assert "FRCorr has not risen since step 1" in caplog.text
    assert load_run(tmp_path).step == 3
    assert load_run(tmp_path, "best").step == 1


def test_a_run_that_is_not_to_be_validated_reads_no_validation_split(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)

    def unread(*_):
        raise AssertionError("the validation split was read")

    data = dataclasses.replace(make_data(), validation_batches=unread, validation_clips=unread)
    words = ["--train.steps", "3", "--train.eval-every"]
    train(configure(*words, "0"), tmp_path, data)
    assert "validation on" not in caplog.text
    assert load_run(tmp_path).step == 3
    with pytest.raises(UserError, match=r"no validation score yet"):
        load_run(tmp_path, "best")
    with pytest.raises(UserError, match=r"train.patience 2 counts validations, and train.eval_every 0 makes none"):
        configure(*words, "0", "--train.patience", "2")


def test_what_a_validation_would_fail_on_is_found_before_the_first_step(tmp_path, stand_in):
    def narrow():
        return iter([make_batch(1000)._replace(video=np.zeros((2, 16, 32, 3), np.uint8))])

    with pytest.raises((ValueError, TypeError, jaxtyping.TypeCheckError)):
        train(configure("--train.steps", "2"), tmp_path, dataclasses.replace(make_data(), validation_batches=narrow))
    assert not (tmp_path / "checkpoints").exists()


def test_a_validation_that_fails_loses_no_step(tmp_path, stand_in, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(training, "validate", fail)
    words = ["--train.steps", "5", "--train.eval-every", "3", "--train.checkpoint-every", "100"]
    with pytest.raises(RuntimeError, match="out of memory"):
        train(configure(*words), tmp_path, make_scored_data())
    assert load_run(tmp_path).step == 3
