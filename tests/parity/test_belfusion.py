"""BeLFusion's VAE, denoiser and sampling, on the inputs and outputs of the released modules."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle.golden_state import assert_close, golden_state, load_golden

from reactface_jax.convert import belfusion_table
from reactface_jax.convert.mapping import to_params
from reactface_jax.methods.belfusion.denoiser import Denoiser, add_noise, cosine_betas, sample
from reactface_jax.methods.belfusion.vae import WindowVAE

VAE = WindowVAE(channels=25, width=24, mlp=(16, 16), regress=True)
DENOISER = Denoiser(width=24, hidden=64, num_layers=4, time_width=16)
WINDOW = 10


@pytest.fixture(scope="module", name="golden")
def _golden(goldens):
    return load_golden(goldens / "belfusion_a.npz")


@pytest.fixture(scope="module", name="vae")
def _vae(goldens):
    template = jax.eval_shape(VAE.init, jax.random.key(0), jnp.zeros((1, WINDOW, 25)), jnp.zeros((1, 24)))["params"]
    state = golden_state(goldens / "belfusion_spec.json")
    state = {name: value for name, value in state.items() if not name.startswith("denoiser.")}
    params, _ = to_params(state, belfusion_table.vae_table(2, regress=True), {"vae": template}, {})
    return partial(VAE.apply, {"params": params["vae"]})


@pytest.fixture(scope="module", name="denoiser")
def _denoiser(goldens):
    latent = jnp.zeros((1, 24))
    template = jax.eval_shape(DENOISER.init, jax.random.key(0), latent, jnp.zeros(1, int), latent)["params"]
    state = golden_state(goldens / "belfusion_spec.json", "denoiser.")
    params, _ = to_params(state, belfusion_table.denoiser_table(4), {"denoiser": template}, {})
    return jax.jit(partial(DENOISER.apply, {"params": params["denoiser"]}))


def test_vae(golden, vae) -> None:
    encoded = vae(golden["x"].reshape(-1, WINDOW, 25), method="encode")
    assert_close(encoded.hidden, golden["hidden"])
    assert_close(encoded.mean, golden["mean"])
    assert_close(encoded.log_variance, golden["log_variance"])
    decoded = vae(golden["mean"], WINDOW, method="decode")
    assert_close(decoded.reshape(golden["x"].shape), golden["decoded_mean"])
    coefficients = vae(decoded, method="coefficients")
    assert_close(coefficients.reshape(golden["coefficients"].shape), golden["coefficients"])
    assert_close(vae(golden["hidden"], WINDOW, method="decode"), golden["decoded_hidden_released"])


def test_schedule(goldens) -> None:
    golden = np.load(goldens / "belfusion_a.npz")
    np.testing.assert_allclose(cosine_betas(10), golden["f64_betas"], rtol=1e-12)
    np.testing.assert_allclose(np.cumprod(1 - cosine_betas(10)), golden["f64_alphas_cumprod"], rtol=1e-12)


def test_denoiser_and_sampling(golden, vae, denoiser) -> None:
    span = golden["maximum"] - golden["minimum"]
    latent = 2 * (golden["hidden"] - golden["minimum"][None]) / span[None] - 1
    assert_close(latent, golden["latent"])
    noisy = add_noise(golden["latent"], golden["t"], golden["noise"], 10)
    assert_close(noisy, golden["noised"])
    assert_close(denoiser(noisy, golden["t"], golden["condition"]), golden["denoised"])
    last, steps = sample(lambda noisy, time: denoiser(noisy, time, golden["condition"]), golden["noise"], 10)
    assert_close(steps, golden["all_latents"])
    assert_close(last, golden["sampled_latent"])
    hidden = (last + 1) / 2 * span[None] + golden["minimum"][None]
    window = vae(hidden, WINDOW, method="decode")
    assert_close(window, golden["sampled"])
    assert_close(vae(window, method="coefficients"), golden["sampled_coefficients"])
