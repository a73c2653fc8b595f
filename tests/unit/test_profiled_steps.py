"""The profiler's window: which steps it watches, and that a run which ends early closes it."""

import logging

import jax
import jax.numpy as jnp
import pytest

from reactface_jax.config import TrainConfig
from reactface_jax.errors import UserError
from reactface_jax.training.profiled_steps import ProfiledSteps


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: made.append(("start", folder)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: made.append(("stop",)))
    return made


def steps(window, folder, last, calls, first=1):
    with ProfiledSteps(TrainConfig(profile_steps=window).profile_steps, folder) as profiled:
        for step in range(first, last + 1):
            profiled.before(step)
            calls.append(step)
            profiled.after(step, jnp.zeros(()))


def test_both_ends_are_inside(calls, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="reactface_jax"):
        steps("2:3", tmp_path, 5, calls)
    assert calls == [1, ("start", tmp_path), 2, 3, ("stop",), 4, 5]
    assert str(tmp_path) in caplog.text


def test_a_run_that_ends_early_leaves_what_there_is(calls, tmp_path):
    steps("2:9", tmp_path, 3, calls)
    assert calls == [1, ("start", tmp_path), 2, 3, ("stop",)]


@pytest.mark.parametrize(("window", "first"), [("", 1), ("2:3", 3)])
def test_nothing_is_watched_unless_asked(calls, tmp_path, window, first):
    """Nor by a run that resumes inside the window: its first step compiles."""
    steps(window, tmp_path, 5, calls, first)
    assert calls == list(range(first, 6))


@pytest.mark.parametrize("window", ["3:2", "0:2", "5", "a:b", "1:2:3"])
def test_what_is_no_window_is_refused(window):
    with pytest.raises(UserError, match=r"train.profile_steps .* must be FIRST:LAST, such as 10:15"):
        TrainConfig(profile_steps=window)
