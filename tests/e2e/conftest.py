"""Fixtures of the tests that train in this process."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache
from training_run import StandIn

from reactface_jax.all_devices import AllDevices
from reactface_jax.evaluation import evaluate_run
from reactface_jax.training import loop as training
from reactface_jax.training import reactface_objective, sharding


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module", autouse=True)
def evaluation_on_one_device():
    """Programs for several devices take longer to compile; test_report.py and tests/sharding have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate_run, "AllDevices", lambda num_clips: AllDevices(num_clips, jax.devices()[:1]))
        yield


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(training, "make_mesh", lambda **_: sharding.make_mesh(jax.devices()[:1]))


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(reactface_objective, "build_model", StandIn)
