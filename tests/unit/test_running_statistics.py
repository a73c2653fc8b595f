"""Mean and variance of everything seen so far, over hours."""

import jax
import jax.numpy as jnp
import numpy as np

from reactface_jax.models.causal.running_statistics import accumulate


def test_running_statistics_after_hours_are_those_of_all_frames():
    rng = np.random.default_rng(0)
    x = (5 + rng.standard_normal((1, 6, 3))).astype(np.float32)
    spread = rng.uniform(0.5, 2, (1, 6, 3)).astype(np.float32)
    mean, variance, after = accumulate(jnp.asarray(x[:, :4]), jnp.asarray(spread[:, :4]))
    for t in range(4):
        np.testing.assert_allclose(mean[:, t], x[:, : t + 1].mean(axis=1), rtol=1e-5)
        expected = spread[:, : t + 1].mean(axis=1) + x[:, : t + 1].var(axis=1)
        np.testing.assert_allclose(variance[:, t], expected, rtol=1e-5)
    rest = jnp.asarray(x[:, 4:]), jnp.asarray(spread[:, 4:])
    _, variance, _ = accumulate(*rest, after, jnp.array([4]))
    np.testing.assert_allclose(variance[:, -1], spread.mean(axis=1) + x.var(axis=1), rtol=1e-5)
    long = jax.lax.fori_loop(0, 90_000, lambda n, s: accumulate(*rest, s, jnp.array([4 + 2 * n]))[2], after)
    np.testing.assert_allclose(long.mean, x[:, 4:].mean(axis=1), rtol=1e-3)
    np.testing.assert_allclose(long.variance, spread[:, 4:].mean(axis=1) + x[:, 4:].var(axis=1), rtol=1e-3)
