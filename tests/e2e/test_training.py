"""Training on made-up arrays: it learns, resumes to the bit, stops when told, and refuses what does not fit."""

import dataclasses
import itertools
import logging
import os
import pathlib
import re
import signal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from reactface_jax import sharding, training
from reactface_jax.checkpoint import load_run
from reactface_jax.config import Config, ModelConfig, load_config
from reactface_jax.errors import UserError
from reactface_jax.train_state import TrainState
from reactface_jax.training import TrainingData, train
from reactface_jax.types import SAMPLES_PER_FRAME, Batch, Reactions

ROOT = pathlib.Path(__file__).parents[2]
FRAMES = 16


class StandIn(nn.Module):
    """What the loop needs to know of a model, without the time to compile one: its call, dropout, sampling, names."""

    config: ModelConfig

    @nn.compact
    def __call__(self, video, audio, *, num_reactions=1, noise=None, deterministic=True):
        batch, frames = video.shape[:2]
        sound = audio.reshape(batch, frames, -1)[..., :8]
        sound = Named(("audio_encoder", "feature_extractor"), 8, name="speaker_encoder")(sound)
        features = jnp.concatenate([video.mean((2, 3)), sound], axis=-1)
        features = nn.Dropout(self.config.dropout, deterministic=deterministic)(features)
        shape = (batch, num_reactions, -(-frames // self.config.window), 8)
        noise = jax.random.normal(self.make_rng("sample"), shape) if noise is None else noise
        mean = jnp.broadcast_to(features.mean(1)[:, None, None, :8], shape)
        z = jnp.repeat(mean + noise, self.config.window, axis=2)[:, :, :frames]
        listener = Named(("reaction_decoder", "map"), 58, name="listener")(z)
        return Reactions(listener, mean, jnp.ones(shape), listener.mean(1))


class Named(nn.Module):
    """A dense layer under several names, as the real parameters are."""

    names: tuple[str, ...]
    features: int

    @nn.compact
    def __call__(self, x):
        first, *rest = self.names
        layer = Named(tuple(rest), self.features, name=first) if rest else nn.Dense(self.features, name=first)
        return layer(x)


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_kept(tmp_path_factory):
    """Tests that run the same program compile it once."""
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(training, "make_mesh", lambda **_: sharding.make_mesh(jax.devices()[:1]))


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(training, "build_model", StandIn)


def configure(*overrides: str) -> Config:
    return load_config(ROOT / "configs/tiny.py", ["--data.clip-frames", str(FRAMES), *overrides])


def without_dropout(config: Config) -> Config:
    """Random draws are most of what compiling a tiny model takes; the stand-in has some for the streams' sake."""
    names = ("hidden_dropout", "attention_dropout", "activation_dropout", "layer_dropout", "mask_time_prob")
    audio = dataclasses.replace(config.model.audio, **dict.fromkeys(names, 0.0))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, dropout=0.0, audio=audio))


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


def assert_same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_two_steps_and_two_more_are_four(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    whole = train(configure("--train.steps", "4"), tmp_path / "whole", make_data())
    train(configure("--train.steps", "2"), tmp_path / "parts", make_data())
    caplog.clear()
    parts = train(configure("--train.steps", "4"), tmp_path / "parts", make_data(), resume=True)
    assert_same(whole, parts)
    assert "steps: 2 to 4, resumed" in caplog.text

    # The saved run is that state, with what a user of the model needs.
    run = load_run(tmp_path / "parts")
    assert run.step == 4
    assert_same(run.params, whole.params)
    np.testing.assert_array_equal(run.mean_face, make_data().mean_face)

    # Other batches, another seed or no dropout end elsewhere: the comparison above could have failed.
    for name, others in {"batches": [], "seed": ["--train.seed", "1"], "dropout": ["--model.dropout", "0.0"]}.items():
        data = make_data(lambda step: make_batch(step + 100)) if name == "batches" else make_data()
        other = train(configure("--train.steps", "4", *others), tmp_path / name, data)
        assert not np.array_equal(kernel(other), kernel(whole))


def kernel(state: TrainState) -> np.ndarray:
    return np.asarray(state.params["listener"]["reaction_decoder"]["map"]["kernel"])


def test_the_real_model_learns_and_resumes(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    data = make_data(lambda step: make_batch(0))
    whole = train(without_dropout(configure("--train.steps", "20")), tmp_path / "whole", data)
    losses = [float(found) for found in re.findall(r"step \d+/20  loss (\S+)", caplog.text)]
    assert losses[-1] < 0.9 * losses[0]

    train(without_dropout(configure("--train.steps", "10")), tmp_path / "parts", data)
    parts = train(without_dropout(configure("--train.steps", "20")), tmp_path / "parts", data, resume=True)
    assert_same(whole, parts)

    # The frozen convolutions are those of the first checkpoint; the rest has moved.
    before = load_run(tmp_path / "whole", step=10).params["speaker_encoder"]["audio_encoder"]
    after = parts.params["speaker_encoder"]["audio_encoder"]
    assert_same(before["feature_extractor"], after["feature_extractor"])
    assert np.any(before["feature_projection"]["linear"]["kernel"] != after["feature_projection"]["linear"]["kernel"])


def test_a_run_meets_its_own_configuration_alone(tmp_path, stand_in):
    train(configure("--train.steps", "1"), tmp_path, make_data())
    with pytest.raises(UserError, match=r"model.momentum: 0.9 there, 0.5 here"):
        train(configure("--model.momentum", "0.5"), tmp_path, make_data(), resume=True)
    with pytest.raises(UserError, match="holds a run already; give --resume, --overwrite"):
        train(configure(), tmp_path, make_data())
    assert load_run(tmp_path).step == 1


def test_the_log_says_what_runs_and_the_loss_falls(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    config = configure("--train.steps", "100", "--train.eval-every", "50", "--optimizer.learning-rate", "1e-2")
    train(config, tmp_path, make_data(lambda step: make_batch(0)))
    log = "\n".join(record.getMessage() for record in caplog.records)
    for words in ("devices: 1 x cpu", "jax 0.", "made-up arrays", "2 clips of 16 frames at 32x32", "3 reactions"):
        assert words in log
    assert "parameters: 594 (72 frozen)" in log
    assert "  speaker_encoder/audio_encoder: 72" in log
    assert re.search(r"step 50/100  loss .* steps/s  \d+:\d\d:\d\d left", log)
    assert log.count("validation on 3 clips") == 2  # the padding row does not count
    losses = [float(found) for found in re.findall(r"step \d+/100  loss (\S+)", log)]
    assert losses[-1] < 0.5 * losses[0]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_loss_that_is_not_finite_stops_with_its_step_and_part_and_is_not_saved(tmp_path, stand_in):
    def batch(step):
        return make_batch(step)._replace(speaker=np.full((2, FRAMES, 58), np.nan if step == 2 else 0, np.float32))

    config = configure("--train.steps", "8", "--train.log-every", "4", "--train.checkpoint-every", "2")
    with pytest.raises(UserError, match=r"diverged at step 3: .*speaker is nan"):
        train(config, tmp_path, make_data(batch))
    assert load_run(tmp_path).step == 2


def test_sigterm_saves_and_returns(tmp_path, caplog, stand_in):
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


def test_overwrite_removes_the_old_run_and_nothing_else(tmp_path, stand_in):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    train(configure("--train.steps", "2"), tmp_path, make_data())
    train(configure("--train.steps", "1"), tmp_path, make_data(), overwrite=True)
    assert load_run(tmp_path).step == 1
    assert notes.read_text() == "mine"


def test_resuming_before_the_first_checkpoint_starts(tmp_path, stand_in):
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
