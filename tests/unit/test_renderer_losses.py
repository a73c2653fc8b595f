"""Judging pictures, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reactface_jax.rendering.portrait.losses import perceptual, psnr, ssim, style


def pictures(seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (2, 32, 32, 3)), jnp.float32)


def test_psnr_by_hand() -> None:
    a = pictures()
    np.testing.assert_allclose(psnr(a, a + 0.2), 20, rtol=1e-4)  # an error of a tenth of the range


def test_ssim_by_hand() -> None:
    a = pictures()
    np.testing.assert_allclose(ssim(a, a), 1, rtol=1e-4)
    assert abs(ssim(a, -a)).max() < 1.01
    assert (ssim(a, -a) < -0.5).all()
    flat = jnp.zeros((1, 16, 16, 3))  # 0.5 and 0.6 in [0, 1]: no contrast, so the means alone
    expected = (2 * 0.5 * 0.6 + 1e-4) / (0.25 + 0.36 + 1e-4)
    np.testing.assert_allclose(ssim(flat, flat + 0.2), expected, rtol=1e-3)


def test_features_tell_a_shift_and_a_texture() -> None:
    a = pictures()
    assert float(perceptual(a, a)) == pytest.approx(0, abs=1e-6)
    assert float(style(a, a)) == pytest.approx(0, abs=1e-6)
    shifted = jnp.roll(a, 4, axis=2)
    assert float(perceptual(a, shifted)) > 10 * float(style(a, shifted))  # the same texture elsewhere
    assert float(style(a, 0 * a)) > 3 * float(style(a, shifted))
