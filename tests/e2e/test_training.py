"""Training on made-up arrays: it learns, resumes to the bit, stops when told, and refuses what does not fit."""

import dataclasses
import gc
import logging
import os
import re
import signal

import jax
import numpy as np
import pytest
from training_run import ROOT, assert_same, configure, kernel, make_batch, make_data, without_dropout

from reactface_jax.errors import UserError
from reactface_jax.training import loop as training
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.divergence import first_not_finite
from reactface_jax.training.loop import train
from reactface_jax.weights.params_file import save_params
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")


def test_two_steps_and_two_more_are_four(tmp_path, caplog, stand_in):
    caplog.set_level(logging.INFO)
    whole = train(configure("--train.steps", "4"), tmp_path / "whole", make_data())
    train(configure("--train.steps", "2"), tmp_path / "parts", make_data())
    caplog.clear()
    parts = train(configure("--train.steps", "4"), tmp_path / "parts", make_data(), resume=True)
    assert_same(whole, parts)
    assert "steps: 2 to 4, resumed" in caplog.text
    caplog.clear()
    assert_same(whole, train(configure("--train.steps", "4"), tmp_path / "parts", make_data(), resume=True))
    assert "steps: all 4 were made; a higher --train.steps goes on" in caplog.text

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


def test_the_audio_encoder_that_a_pretrained_one_replaces_takes_no_memory(tmp_path, stand_in):
    held: list[int] = []

    def batch(step):
        if step == 2:  # the first two updates are made, or on their way
            gc.collect()
            held.append(sum(array.nbytes for array in jax.live_arrays()))
        return make_batch(step)

    config = configure("--train.steps", "3", "--train.eval-every", "0")
    fresh = train(config, tmp_path / "fresh", make_data(batch)).params["speaker_encoder"]["audio_encoder"]
    save_params(tmp_path / "wav2vec2", jax.tree.map(np.asarray, fresh), {"audio": config.model.audio})
    words = ["--train.pretrained-audio", str(tmp_path / "wav2vec2")]
    del fresh
    train(configure("--train.steps", "3", "--train.eval-every", "0", *words), tmp_path / "other", make_data(batch))
    assert held[0] == held[1]


@pytest.mark.long
@pytest.mark.parametrize("words", [["--model.no-use-video"], []], ids=str)
def test_the_real_model_learns_and_resumes(words, tmp_path, caplog):
    """F-Enc's gradient is most of the compilation."""
    caplog.set_level(logging.INFO)
    data = make_data(lambda step: make_batch(0))
    config = without_dropout(configure("--train.steps", "20", "--model.interaction-layers", "1", *words))
    whole = train(config, tmp_path / "whole", data)
    losses = [float(found) for found in re.findall(r"step \d+/20  loss (\S+)", caplog.text)]
    assert losses[-1] < 0.9 * losses[0]

    def stopped(step):
        if step == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return make_batch(0)

    assert int(train(config, tmp_path / "parts", make_data(stopped)).step) == 10
    assert_same(whole, train(config, tmp_path / "parts", data, resume=True))

    # The frozen convolutions are those of the first checkpoint; the rest has moved.
    before = load_run(tmp_path / "whole", step=10).params["speaker_encoder"]["audio_encoder"]
    after = whole.params["speaker_encoder"]["audio_encoder"]
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
    for words in ("devices: 1 x ", "jax 0.", "made-up arrays", "2 clips of 16 frames at 32x32", "3 reactions"):
        assert words in log
    assert "parameters: 1,058 (72 frozen)" in log
    assert "  speaker_encoder/audio_encoder: 72" in log
    assert re.search(r"step 50/100  loss .* steps/s  \d+:\d\d:\d\d left", log)
    assert log.count("validation on 3 clips") == 2  # the padding row does not count
    losses = [float(found) for found in re.findall(r"step \d+/100  loss (\S+)", log)]
    assert losses[-1] < 0.5 * losses[0]
    assert list((tmp_path / "tensorboard").glob("events*"))


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


def test_sigterm_while_the_last_checkpoint_is_written_loses_nothing(tmp_path, stand_in, monkeypatch):
    leave = Checkpoints.__exit__

    def told_to_end(checkpoints, *error):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL, "the signal would end the tests"
        os.kill(os.getpid(), signal.SIGTERM)
        leave(checkpoints, *error)

    monkeypatch.setattr(Checkpoints, "__exit__", told_to_end)
    train(configure("--train.steps", "2", "--train.eval-every", "0"), tmp_path, make_data())
    assert load_run(tmp_path).step == 2


def test_overwrite_replaces_the_old_run_and_nothing_else(tmp_path, stand_in):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    train(configure("--train.steps", "2"), tmp_path, make_data())
    train(configure("--train.steps", "1"), tmp_path, make_data(), overwrite=True)
    assert load_run(tmp_path).step == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "notes.txt", "tensorboard"]
    assert notes.read_text() == "mine"

    # A mistake, whenever it is found before the new run's first step, leaves the run as it is.
    def refuse(_):
        raise UserError("clips are too short")

    def broken(step):
        raise RuntimeError("no batch")

    def not_finite(step):
        batch = make_batch(step)
        return batch._replace(audio=np.full_like(batch.audio, np.nan))

    mistakes = {
        "training diverged at step 1": ([], make_data(not_finite)),
        "nowhere has no params.safetensors": (["--train.pretrained-audio", "nowhere"], make_data()),
        "clips are too short": ([], dataclasses.replace(make_data(), train_batches=refuse)),
        "no batch": ([], make_data(broken)),
    }
    for message, (words, data) in mistakes.items():
        with pytest.raises((UserError, RuntimeError), match=message):
            train(configure("--train.steps", "3", *words), tmp_path, data, overwrite=True)
        assert load_run(tmp_path).step == 1
        assert not (tmp_path / "overwritten").exists()


def test_two_trainings_in_one_directory(tmp_path, stand_in):
    def meanwhile(step):
        with pytest.raises(UserError, match=f"process {os.getpid()} on .* is writing into {tmp_path}"):
            train(configure("--train.steps", "1"), tmp_path, make_data(), resume=True)
        return make_batch(step)

    assert int(train(configure("--train.steps", "1"), tmp_path, make_data(meanwhile)).step) == 1


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
    assert re.search(r"memory a device by XLA's analysis for \w+: \d+\.\d [MG]iB = ", caplog.text)
    assert "devices: 1 x " in caplog.text
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_the_table_of_appropriate_reactions(tmp_path, caplog, stand_in):
    """It lies on every device beside the step, which does not take it."""
    caplog.set_level(logging.INFO)
    parts = []
    for listeners in (None, np.zeros((64, 4096, 58), np.float32)):
        data = dataclasses.replace(make_data(), listeners=listeners)
        train(configure(), tmp_path / "run", data, dry_run=True)
        (line,) = [line for line in caplog.messages if line.startswith("memory a device")]
        parts.append([float(size) for size in re.findall(r"(\d+\.\d) MiB", line)])
        if listeners is None:
            assert "table" not in caplog.text
        caplog.clear()
    without, (whole, *summands) = parts
    assert whole == pytest.approx(without[0] + 58, abs=0.11)
    assert whole == pytest.approx(sum(summands), abs=0.3)
    assert summands == [*without[1:], 58.0]
