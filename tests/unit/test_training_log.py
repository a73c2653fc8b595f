"""What training reports of the device's memory, where the backend counts it."""

import logging
from datetime import timedelta
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from reactface_jax import step_clock
from reactface_jax.config import Config
from reactface_jax.training import training_log
from reactface_jax.training.curves import Curves


@pytest.mark.parametrize(("stats", "said"), [({"peak_bytes_in_use": 3 * 2**29}, True), (None, False)])
def test_the_most_memory_that_was_used_is_in_the_log(stats, said, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: stats)])
    with Curves(tmp_path) as curves, caplog.at_level(logging.INFO, logger="reactface_jax"):
        progress = training_log.Progress(Config(), curves)
        progress.add(1, {"loss": jnp.ones(())})
        progress.report()
    assert ("1.5 GiB of device memory at most" in caplog.text) is said
    (file,) = tmp_path.glob("events*")
    assert (b"train/peak_memory_gib" in file.read_bytes()) is said


def test_the_first_step_which_compiles_is_no_part_of_the_speed(monkeypatch, caplog, tmp_path):
    """Nor is what happens in a pause, before the first step or between two."""
    now = 0.0

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(step_clock.time, "perf_counter", lambda: now)
    config = Config()
    with Curves(tmp_path) as curves, caplog.at_level(logging.INFO, logger="reactface_jax"):
        progress = training_log.Progress(config, curves)
        with progress.paused():
            passes(7)
        passes(100)
        progress.add(1, {"loss": jnp.ones(())})
        progress.report()
        assert "steps/s" not in caplog.text
        passes(0.5)
        progress.add(2, {"loss": jnp.ones(())})
        progress.report()
        with progress.paused():
            passes(50)
        passes(0.5)
        progress.add(3, {"loss": jnp.ones(())})
        caplog.clear()
        progress.report()
    left = timedelta(seconds=round((config.train.steps - 3) / 2))
    assert caplog.text.rstrip().endswith(f"  2 steps/s  {left} left")
