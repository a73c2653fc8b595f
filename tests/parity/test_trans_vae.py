"""Trans-VAE, offline and online, on the inputs and outputs of the released modules."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle.golden_state import assert_close, golden_state, load_golden

from reactface_jax.convert import known_unused, trans_vae_table
from reactface_jax.convert.mapping import to_params
from reactface_jax.methods.trans_vae.network import TransVAE

BATCH, FRAMES, WIDTH, WINDOW, IMAGE = 2, 20, 32, 8, 64


@pytest.fixture(scope="module", name="inputs")
def _inputs():
    rng = np.random.default_rng([0, 14])
    video = rng.uniform(-1, 1, (BATCH, FRAMES, 3, IMAGE, IMAGE)).astype(np.float32)
    mfcc = rng.standard_normal((BATCH, FRAMES, 78)).astype(np.float32)
    return jnp.asarray(np.moveaxis(video, 2, -1)), jnp.asarray(mfcc)


@pytest.fixture(scope="module", name="golden")
def _golden(goldens):
    return load_golden(goldens / "transvae_a.npz")


def build(goldens, online: bool):
    network = TransVAE(WIDTH, attributes=True, online=online)
    state = golden_state(goldens / "transvae_spec.json")
    if not online:
        only_online = ("reaction_decoder.l", "reaction_decoder.listener_reaction_decoder_3d")
        parts = (f"{only_online[0]}stm", f"{only_online[0]}inear", only_online[1])
        state = {name: value for name, value in state.items() if not name.startswith(parts)}
    unused = known_unused.TRANS_VAE if online else known_unused.TRANS_VAE_OFFLINE
    inputs = jnp.zeros((1, WINDOW, IMAGE, IMAGE, 3)), jnp.zeros((1, WINDOW, 78)), jnp.zeros((1, 1, 1, WIDTH))
    template = jax.eval_shape(partial(network.init, window=WINDOW), jax.random.key(0), *inputs)["params"]
    params, _ = to_params(state, trans_vae_table.table(online, attributes=True), template, unused)
    return partial(network.apply, {"params": params})


def test_offline(goldens, golden, inputs) -> None:
    apply = build(goldens, online=False)
    features = jax.jit(partial(apply, method="encode_speaker"))(*inputs)
    assert_close(features, golden["speaker_features"])
    found = jax.jit(partial(apply, method="offline"))(*inputs, golden["eps"][:, :1])
    assert_close(found.coefficients[:, 0], golden["offline_3dmm"])
    assert_close(found.attributes[:, 0], golden["offline_emotion"])
    assert_close(found.mean[:, 0], golden["offline_mean"])
    assert_close(found.std[:, 0], golden["offline_std"])


def test_online(goldens, golden, inputs) -> None:
    apply = build(goldens, online=True)
    whole = FRAMES // WINDOW * WINDOW
    video, mfcc = (x[:, :whole] for x in inputs)
    noise = golden["eps"][:, None, : FRAMES // WINDOW]
    found = jax.jit(partial(apply, window=WINDOW, method="in_windows"))(video, mfcc, noise)
    assert_close(found.mean[:, 0], golden["online_mean"])
    assert_close(found.std[:, 0], golden["online_std"])
    # The release leaves the frames after the last whole window zero.
    assert_close(jnp.pad(found.coefficients[:, 0], [(0, 0), (0, FRAMES - whole), (0, 0)]), golden["online_3dmm"])
    assert_close(jnp.pad(found.attributes[:, 0], [(0, 0), (0, FRAMES - whole), (0, 0)]), golden["online_emotion"])
