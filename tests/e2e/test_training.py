"""Training on made-up arrays: it learns, resumes to the bit, stops when told, and refuses what does not fit."""

import dataclasses
import itertools
import logging
import os
import pathlib
import re
import signal
import struct

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from tensorboardX.proto.event_pb2 import Event

from reactface_jax import metrics, sharding, training
from reactface_jax.checkpoint import load_run
from reactface_jax.config import Config, ModelConfig, OptimizerConfig, load_config
from reactface_jax.divergence import first_not_finite, read_dump
from reactface_jax.errors import UserError
from reactface_jax.evaluation import Clips, clip_noise
from reactface_jax.optimizer import make_optimizer
from reactface_jax.replay import replay
from reactface_jax.train_state import TrainState
from reactface_jax.train_step import make_gradient, to_unit_range
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
        shape = (batch, num_reactions, -(-frames // self.config.window), self.config.feature_dim)
        noise = jax.random.normal(self.make_rng("sample"), shape) if noise is None else noise
        features = jnp.pad(features, [(0, 0), (0, 0), (0, self.config.feature_dim - features.shape[-1])])
        mean = jnp.broadcast_to(features.mean(1)[:, None, None], shape)
        z = jnp.repeat(mean + noise, self.config.window, axis=2)[:, :, :frames]
        listener = Named(("reaction_decoder", "map"), 58, name="listener")(z)
        return Reactions(listener, mean, jnp.ones(shape), listener.mean(1))

    def react_to_prefixes(self, video, audio, noise, lengths=None):
        reactions = self(video, audio, num_reactions=noise.shape[1], noise=noise)
        return reactions.listener, reactions.mean, reactions.std


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
    assert "parameters: 1,058 (72 frozen)" in log
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
    data = dataclasses.replace(make_data(batch), clip_ids=("val/a", "val/b"))
    with pytest.raises(UserError, match=r"diverged at step 3: .*speaker is nan.*clips are val/a, val/b; .*replay"):
        train(config, tmp_path, data)
    assert load_run(tmp_path).step == 2

    # The dump holds that batch, and the parameters that had not yet met it: those of the checkpoint before.
    dump = read_dump(tmp_path / "diverged-step-3.npz")
    assert_same(dump.params, load_run(tmp_path).params)
    assert_same(dump.batch, batch(2))
    lines = list(replay(StandIn(config.model), dump))
    assert "input speaker is not finite in val/a, val/b" in lines
    assert "speaker: nan" in lines
    assert any(line.startswith("gradient of") for line in lines)
    assert "finite here" not in lines
    assert list(replay(StandIn(config.model), dump._replace(batch=make_batch(2))))[-1] == "finite here"


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


def make_clips(raw=0.0) -> Clips:
    """The people of `make_data`'s three validation clips."""
    batches = [make_batch(1000), make_batch(1001)]
    mean_face = make_data().mean_face
    speaker, listener = (
        np.concatenate([getattr(batch, name) for batch in batches])[:3] + mean_face for name in ("speaker", "listener")
    )
    names = tuple(f"c{i}" for i in range(58))
    return Clips(speaker, listener, np.ones((3, 3), bool), ["val/a", "val/b", "val/c"], names)


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
    params = model.init({"params": jax.random.key(0), "sample": jax.random.key(1)}, batch.video / 255, batch.audio)
    results = []
    for parts in (1, 2, 4):
        train_config = dataclasses.replace(config.train, accumulate=parts)
        gradient = make_gradient(model, dataclasses.replace(config, train=train_config))
        results.append(jax.jit(gradient)(params["params"], batch, jax.random.key(2), jnp.zeros((), jnp.int32)))
    for other in results[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), results[0], other)
    with pytest.raises(UserError, match=r"train.batch_size 4 must be a multiple of train.accumulate 3"):
        configure("--train.batch-size", "4", "--train.accumulate", "3")


def test_steps_are_launched_before_the_one_before_is_done(tmp_path, stand_in, monkeypatch):
    """The host may wait for a step once the next one is launched, and for none before."""
    launched, looked_at = [], []

    def spy(waiting, unfinished):
        launched.append(waiting[-1].step)
        looked_at.extend((one.step, launched[-1]) for one in waiting[: len(waiting) - unfinished])
        return first_not_finite(waiting, unfinished)

    monkeypatch.setattr(training, "first_not_finite", spy)
    train(configure("--train.steps", "6", "--train.log-every", "10", "--train.eval-every", "10"), tmp_path, make_data())
    assert looked_at == [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 6)]  # the last is a report's


def test_a_dry_run_tells_shapes_and_memory_and_writes_nothing(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    shapes = train(configure(), tmp_path / "run", make_data(), dry_run=True)
    assert shapes.params["listener"]["reaction_decoder"]["map"]["kernel"].shape == (16, 58)
    assert "batch.video: uint8 [2, 16, 32, 32, 3]" in caplog.text
    assert re.search(r"memory a device by XLA's analysis for cpu: \d+\.\d [MG]iB = ", caplog.text)
    assert "devices: 1 x cpu" in caplog.text
    assert not (tmp_path / "run").exists()
