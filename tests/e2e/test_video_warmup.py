"""`train.video_warmup`: F-Enc by itself learns to see before step 0; nothing else changes, on any mesh."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training_run import FRAMES, assert_same, configure, make_batch, make_data

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.models.build import build_model
from reactface_jax.training import reactface_objective
from reactface_jax.training.loop import train
from reactface_jax.training.program import Program, make_program
from reactface_jax.training.sharding import make_mesh
from reactface_jax.training.video_warmup import make_video_warmup
from reactface_jax.types import Batch

STEPS = 40

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")


def seen_batch(step: int) -> Batch:
    """A bar that stands higher or lower, and coefficients that say how high."""
    batch = make_batch(step)
    height = np.random.default_rng(step).uniform(0, 1, (2, 1)) + 0.3 * np.sin(np.arange(FRAMES) / 2)
    rows = np.arange(32)[None, None, :] - 10 - 8 * height[:, :, None]
    bar = 255 * np.exp(-((rows / 3) ** 2))
    video = np.broadcast_to(bar[..., None, None], (2, FRAMES, 32, 32, 3)).astype(np.uint8)
    speaker = np.broadcast_to(height[..., None] - 0.5, (2, FRAMES, 58)).astype(np.float32)
    return batch._replace(video=video, speaker=speaker)


def seen_batches() -> Iterator[Batch]:
    return map(seen_batch, range(10**6))


def seeing(*more: str, steps: int = STEPS) -> Config:
    words = ["--train.video-warmup", str(steps), "--optimizer.learning-rate", "3e-3", "--model.video-gain", "10"]
    return configure(*words, "--optimizer.warmup-steps", "0", "--train.log-every", "10", *more)


def warmed(config: Config, devices: int = 1) -> tuple[Program, Any, Any]:
    """The program, and its state before and after."""
    program = make_program(config, make_mesh(jax.devices()[:devices]))
    before = program.start()
    kept = jax.tree.map(np.asarray, before.params)
    return program, kept, program.begin_stage(before, 0, seen_batches)


CAUSAL = pytest.param(("--model.causal", "--model.block", "8"), marks=pytest.mark.long)


@pytest.mark.parametrize("kind", [(), CAUSAL], ids=["reference", "causal"])
def test_f_enc_learns_to_see_and_nothing_else_changes(kind: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    """On two devices."""
    caplog.set_level(logging.INFO)
    program, before, state = warmed(seeing(*kind), devices=2)
    losses = [float(found) for found in re.findall(r"warm-up of F-Enc, step \d+/40  speaker (\S+)", caplog.text)]
    assert len(losses) == STEPS // 10
    assert losses[-1] < 0.5 * losses[0]
    after = jax.tree.map(np.asarray, state.params)
    ours, theirs = before["speaker_encoder"].pop("video_encoder"), after["speaker_encoder"].pop("video_encoder")
    assert not np.allclose(ours["conv1"]["kernel"], theirs["conv1"]["kernel"], atol=1e-3)
    assert_same(before, after)
    assert int(state.step) == 0
    assert jax.tree.structure(state) == jax.tree.structure(program.state)


@pytest.mark.long
@pytest.mark.parametrize(("devices", "parts"), [(2, 1), (1, 2)], ids=["devices", "parts"])
def test_a_batch_by_halves_is_the_whole_batch(devices: int, parts: int) -> None:
    """On two devices, or one half after the other."""
    _, _, whole = warmed(seeing(steps=3))
    _, _, halves = warmed(seeing("--train.accumulate", str(parts), steps=3), devices)
    for x, y in zip(jax.tree.leaves(whole.params), jax.tree.leaves(halves.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-4)


@pytest.mark.usefixtures("stand_in")
def test_it_comes_before_the_first_step_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def make(model: Any, config: Config) -> Any:
        def warm_up(params: Any, batches: Any) -> Any:
            calls.append(config.train.steps)
            return jax.tree.map(lambda x: x + next(batches).speaker.mean() * 0 + 1, params)

        return warm_up

    plain = train(configure("--train.steps", "2"), tmp_path / "plain", make_data())
    monkeypatch.setattr(reactface_objective, "make_video_warmup", make)
    whole = train(configure("--train.steps", "2"), tmp_path / "whole", make_data())
    train(configure("--train.steps", "1"), tmp_path / "parts", make_data())
    parts = train(configure("--train.steps", "2"), tmp_path / "parts", make_data(), resume=True)
    assert calls == [2, 1]
    assert_same(whole, parts)
    assert not np.allclose(jax.tree.leaves(plain.params)[0], jax.tree.leaves(whole.params)[0], atol=0.5)


def decaying() -> Config:
    """Of F-Enc's first kernel; three steps take two thirds away."""
    words = ("--optimizer.weight-decay", "100", "--optimizer.decayed")
    return seeing(*words, "^speaker_encoder/video_encoder/conv1/kernel$", steps=3)


def test_weight_decay_finds_f_enc_by_its_path_in_the_model() -> None:
    _, before, state = warmed(decaying())
    kernels = [params["speaker_encoder"]["video_encoder"]["conv1"]["kernel"] for params in (before, state.params)]
    assert np.abs(kernels[1]).mean() < 0.5 * np.abs(kernels[0]).mean()


def test_a_warm_up_that_diverges_says_so() -> None:
    def broken() -> Iterator[Batch]:
        return (batch._replace(speaker=np.full_like(batch.speaker, np.nan)) for batch in seen_batches())

    program = make_program(decaying(), make_mesh(jax.devices()[:1]))
    with pytest.raises(UserError, match=r"the warm-up of F-Enc diverged before its step 3; give a lower --optimizer"):
        program.begin_stage(program.start(), 0, broken)


def test_a_model_that_does_not_see_has_none() -> None:
    config = seeing("--model.no-use-video")
    assert make_video_warmup(build_model(config.model), config) is None
    assert make_video_warmup(build_model(seeing(steps=0).model), seeing(steps=0)) is None
