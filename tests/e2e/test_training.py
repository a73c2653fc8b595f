"""Training on made-up arrays: it learns, resumes to the bit, stops when told, and refuses what does not fit."""

import dataclasses
import itertools
import logging
import os
import pathlib
import signal

import jax
import numpy as np
import pytest

from reactface_jax import sharding, training
from reactface_jax.checkpoint import load_run
from reactface_jax.config import Config, load_config
from reactface_jax.errors import UserError
from reactface_jax.training import TrainingData, train
from reactface_jax.types import SAMPLES_PER_FRAME, Batch

ROOT = pathlib.Path(__file__).parents[2]
FRAMES = 16


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(training, "make_mesh", lambda: sharding.make_mesh(jax.devices()[:1]))


def configure(*overrides: str) -> Config:
    config = load_config(ROOT / "configs/tiny.py", ["--data.clip-frames", str(FRAMES), *overrides])
    # One decision of every kind is enough to tell two streams of randomness apart; fewer compile faster.
    return dataclasses.replace(config, model=dataclasses.replace(config.model, feature_dim=8))


def make_batch(step: int, size: int = 2, neighbours: int = 2) -> Batch:
    rng = np.random.default_rng(step)
    reactions = np.sin(np.arange(FRAMES) / 4)[None, None, :, None] * rng.uniform(0, 1, (size, neighbours, 1, 58))
    reactions = reactions.astype(np.float32)
    return Batch(
        video=rng.integers(0, 256, (size, FRAMES, 32, 32, 3), dtype=np.uint8),
        audio=rng.standard_normal((size, FRAMES * SAMPLES_PER_FRAME)).astype(np.float32),
        speaker=rng.uniform(-0.5, 0.5, (size, FRAMES, 58)).astype(np.float32),
        listener=reactions[:, 0],
        neighbours=reactions,
        neighbour_mask=np.ones((size, neighbours), bool),
        clip=np.arange(size),
    )


def make_data(batch=make_batch) -> TrainingData:
    return TrainingData(
        description="made-up arrays, 2 clips",
        mean_face=np.linspace(0, 1, 58).astype(np.float32),
        coefficient_names=tuple(f"c{i}" for i in range(58)),
        train_batches=lambda start: map(batch, itertools.count(start)),
        validation_batches=lambda: iter([make_batch(1000), make_batch(1001)._replace(clip=np.array([2, -1]))]),
    )


def curve(caplog, name: str = "loss") -> list[float]:
    lines = [
        r.getMessage()
        for r in caplog.records
        if r.getMessage().startswith("step ") and "validation" not in r.getMessage()
    ]
    return [float(line.split(f" {name} ")[1].split()[0]) for line in lines]


def assert_same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_two_steps_and_two_more_are_four(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    whole = train(configure("--train.steps", "4"), tmp_path / "whole", make_data())
    train(configure("--train.steps", "2"), tmp_path / "parts", make_data())
    caplog.clear()
    parts = train(configure("--train.steps", "4"), tmp_path / "parts", make_data(), resume=True)
    assert_same(whole, parts)
    assert any("steps: 2 to 4, resumed" in r.getMessage() for r in caplog.records)

    # The saved run is that state, with what a user of the model needs.
    run = load_run(tmp_path / "parts")
    assert run.step == 4
    assert_same(run.params, whole.params)
    np.testing.assert_array_equal(run.mean_face, make_data().mean_face)
    # Frozen convolutions are those of the start; the rest has moved.
    start = training.init_params(
        training.build_model(run.config.model), run.config, training.stream(whole.key, "params", 0)
    )
    frozen, trained = (
        (tree["speaker_encoder"]["audio_encoder"][part] for tree in (start, run.params))
        for part in ("feature_extractor", "feature_projection")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *frozen)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.any(a != b)), *trained)))

    # What does not fit the run is refused before anything is touched.
    with pytest.raises(UserError, match=r"model.momentum: 0.9 there, 0.5 here"):
        train(configure("--model.momentum", "0.5"), tmp_path / "parts", make_data(), resume=True)
    with pytest.raises(UserError, match="holds a run already; give --resume, --overwrite"):
        train(configure(), tmp_path / "parts", make_data())
    assert load_run(tmp_path / "parts").step == 4


def test_the_log_says_what_runs_and_the_loss_falls(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config = configure("--train.steps", "60", "--train.eval-every", "30", "--loss.diversity", "0.0")
    train(config, tmp_path, make_data(lambda step: make_batch(0)))
    log = "\n".join(record.getMessage() for record in caplog.records)
    for words in ("devices: 1 x cpu", "jax 0.", "made-up arrays", "2 clips of 16 frames at 32x32", "3 reactions"):
        assert words in log
    assert "speaker_encoder/audio_encoder: " in log
    assert " frozen)" in log
    assert "steps/s" in log
    assert "left" in log
    assert log.count("validation on 3 clips") == 2  # the padding row does not count
    reconstruction = curve(caplog, "reconstruction")
    assert reconstruction[-1] < 0.5 * reconstruction[0]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_loss_that_is_not_finite_stops_with_its_step_and_part_and_is_not_saved(tmp_path):
    def batch(step):
        return make_batch(step)._replace(speaker=np.full((2, FRAMES, 58), np.nan if step == 2 else 0, np.float32))

    config = configure("--train.steps", "8", "--train.log-every", "4", "--train.checkpoint-every", "2")
    with pytest.raises(UserError, match=r"diverged at step 3: .*speaker is nan"):
        train(config, tmp_path, make_data(batch))
    assert load_run(tmp_path).step == 2


def test_sigterm_saves_and_returns(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def batch(step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return make_batch(step)

    handler = signal.getsignal(signal.SIGTERM)
    state = train(configure("--train.steps", "1000"), tmp_path, make_data(batch))
    assert int(state.step) == 3
    assert load_run(tmp_path).step == 3
    assert "SIGTERM: saved at step 3" in caplog.text
    assert signal.getsignal(signal.SIGTERM) == handler


def test_overwrite_removes_the_old_run_and_nothing_else(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    train(configure("--train.steps", "2"), tmp_path, make_data())
    train(configure("--train.steps", "1"), tmp_path, make_data(), overwrite=True)
    assert load_run(tmp_path).step == 1
    assert notes.read_text() == "mine"


def test_resuming_before_the_first_checkpoint_starts(tmp_path):
    assert int(train(configure("--train.steps", "1"), tmp_path, make_data(), resume=True).step) == 1


def test_what_can_not_become_of_a_workdir(tmp_path):
    with pytest.raises(UserError, match="does not exist, so there is nothing to resume"):
        train(configure(), tmp_path / "none", make_data(), resume=True)
    with pytest.raises(UserError, match="exclude each other"):
        train(configure(), tmp_path, make_data(), resume=True, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        train(configure(), tmp_path / "file", make_data())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "configs/nothing.py"], "configs/nothing.py does not exist"),
        (["--config", "configs/tiny.py"], "--data.dir is missing"),
        (["--config", "configs/tiny.py", "--data.dir", "no/such/shards"], "no/such/shards"),
        (["--config", "configs/tiny.py", "--train.step", "3"], "did you mean --train.steps"),
        (["--config", "configs/tiny.py", "--train.steps", "few"], "--train.steps few does not fit"),
    ],
)
def test_the_command_answers_mistakes_with_one_line_and_code_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    from train import main

    with pytest.raises(SystemExit) as stopped:
        main([*words, "--workdir", str(tmp_path / "run")])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
