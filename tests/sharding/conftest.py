"""Meshes of eight devices: fake ones on a CPU; an accelerator with fewer skips these tests."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _eight_devices() -> None:
    if jax.device_count() < 8:
        pytest.skip(f"this platform has {jax.device_count()} device(s), not eight")
