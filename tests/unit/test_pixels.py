"""Bytes and [-1, 1]: the same on host and device, and back to the same bytes."""

import jax.numpy as jnp
import numpy as np

from reactface_jax.ops.pixels import to_bytes, to_unit_range, to_unit_range_on_host

BYTES = np.arange(256, dtype=np.uint8)


def test_the_range_by_hand() -> None:
    values = to_unit_range(BYTES[[0, 51, 255]])
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, [-1, -0.6, 1], atol=1e-7)


def test_host_and_device_agree() -> None:
    on_host = to_unit_range_on_host(BYTES)
    assert on_host.dtype == np.float32
    np.testing.assert_allclose(on_host, to_unit_range(BYTES), rtol=0, atol=1.2e-7)  # XLA multiplies by 1 / 127.5


def test_every_byte_comes_back() -> None:
    np.testing.assert_array_equal(to_bytes(to_unit_range(BYTES)), BYTES)
    np.testing.assert_array_equal(to_bytes(jnp.array([-1.5, 1.01, 0.0])), [0, 255, 128])  # clipped; half to even
