"""Ng et al.'s VQ-VAE and predictor, on the inputs and outputs of the released modules."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle.golden_state import assert_close, golden_state, load_golden

from reactface_jax.convert import known_unused, ng_table
from reactface_jax.convert.mapping import to_params
from reactface_jax.methods.ng.nucleus import nucleus_probabilities
from reactface_jax.methods.ng.predictor import Predictor
from reactface_jax.methods.ng.vqvae import VQVAE

SIZES = {"channels": 58, "width": 32, "num_heads": 4, "num_layers": 2, "feed_forward": 48, "num_codes": 20}
PREDICTOR = Predictor(
    num_codes=20, width=40, speaker_width=80, num_heads=10, feed_forward=24, speaker_layers=2, num_layers=2
)


@pytest.fixture(scope="module", name="vqvae_variables")
def _vqvae_variables(goldens):
    template = jax.eval_shape(VQVAE(**SIZES).init, jax.random.key(0), jnp.zeros((1, 32, 58)))
    template = {name: {"vqvae": tree} for name, tree in template.items()}
    state = golden_state(goldens / "l2l_vqvae_spec.json")
    converted, _ = to_params(state, ng_table.vqvae_table(2), template, known_unused.NG)
    return {name: tree["vqvae"] for name, tree in converted.items()}


@pytest.mark.parametrize("released", [False, True])
def test_vqvae(goldens, vqvae_variables, released) -> None:
    golden = load_golden(goldens / "l2l_vqvae_a.npz")
    ending = "_released" if released else ""
    network = VQVAE(**SIZES, released=released)
    apply = partial(network.apply, vqvae_variables)
    encoded = apply(golden["x"], method="encode")
    assert_close(encoded, golden["encoded"])
    decoded, quantised = jax.jit(apply)(golden["x"])
    np.testing.assert_array_equal(quantised.codes, golden[f"indices{ending}"])
    assert_close(quantised.vectors, golden[f"quantised{ending}"])
    assert_close(quantised.loss, golden[f"quantisation_loss{ending}"])
    assert_close(decoded, golden[f"decoded{ending}"])
    assert_close(apply(golden["codes"], method="from_codes"), golden[f"decoded_codes{ending}"])


def test_predictor(goldens) -> None:
    golden = load_golden(goldens / "l2l_predictor_a.npz")
    inputs = (golden["past_codes"], 4, golden["speaker"], golden["audio"])
    template = jax.eval_shape(PREDICTOR.init, jax.random.key(0), *inputs)
    template = {name: {"predictor": tree} for name, tree in template.items()}
    state = golden_state(goldens / "l2l_predictor_spec.json")
    converted, report = to_params(state, ng_table.predictor_table(2, 2), template, known_unused.NG)
    assert sum(map(len, report.ignored.values())) == 11
    variables = {name: tree["predictor"] for name, tree in converted.items()}
    apply = jax.jit(partial(PREDICTOR.apply, variables))
    for kept in range(5):
        logits = apply(inputs[0], kept, *inputs[2:])
        assert_close(logits, golden[f"logits_{kept}"])


def test_nucleus(goldens) -> None:
    golden = load_golden(goldens / "l2l_predictor_a.npz")
    found = nucleus_probabilities(golden["nucleus_input"], 0.7, 0.9)
    assert_close(found, golden["nucleus_probabilities"])
    np.testing.assert_array_equal(found > 0, golden["nucleus_probabilities"] > 0)
