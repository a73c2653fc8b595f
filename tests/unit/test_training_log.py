"""What training reports of the device's memory, where the backend counts it."""

import logging
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

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
