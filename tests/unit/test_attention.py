"""Attention computes its logits and softmax in float32, whatever the computation's type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reactface_jax.models.attention import MultiHeadAttention
from reactface_jax.models.causal.attention import CausalAttention, Mask

WIDTH = 64


def identity_params() -> dict[str, dict[str, jax.Array]]:
    """Query, key, value and output are the input itself."""
    layer = {"kernel": jnp.eye(WIDTH), "bias": jnp.zeros(WIDTH)}
    return dict.fromkeys(("query", "key", "value", "out"), layer)


@pytest.mark.parametrize("causal", [False, True])
def test_logits_are_not_rounded_to_bfloat16(causal: bool) -> None:
    """Logits of 128 and 128.25, which bfloat16 rounds to the same 128: their weights differ by a factor of e^0.25."""
    query = np.zeros((1, 1, WIDTH), np.float32)
    query[..., :2] = 32, 1
    memory = np.zeros((1, 2, WIDTH), np.float32)
    memory[0, :, 0] = 32  # 32 * 32 / sqrt(64) = 128
    memory[0, 1, 1] = 2  # 2 / sqrt(64) = 0.25
    query, memory = jnp.asarray(query), jnp.asarray(memory)
    assert jnp.bfloat16(128.25) == 128
    variables = {"params": identity_params()}
    if causal:
        module = CausalAttention(num_heads=1, dtype=jnp.bfloat16)
        attended, _ = module.apply(variables, query, memory, Mask(jnp.zeros((1, 1, 2))))
    else:
        attended = MultiHeadAttention(num_heads=1, dtype=jnp.bfloat16).apply(variables, query, memory)
    expected = 2 / (1 + np.exp(-0.25))  # the second key's weight times its value in channel 1
    np.testing.assert_allclose(float(attended[0, 0, 1]), expected, rtol=2**-7)
    assert abs(float(attended[0, 0, 1]) - 1) > 0.1, "equal weights: the logits were rounded"
