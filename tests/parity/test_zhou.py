"""Zhou et al.'s network and losses against the released ones."""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from goldens.fill import fill

from reactface_jax.methods.zhou.loss import distances, total
from reactface_jax.methods.zhou.network import ZhouNetwork

NAMES = {
    "fusion.layernorm_init.weight": "first_norm/scale",
    "fusion.layernorm_init.bias": "first_norm/bias",
    "fusion.layernorm_driven.weight": "speaker_norm/scale",
    "fusion.layernorm_driven.bias": "speaker_norm/bias",
    "fusion.get_initial_state.0.weight": "first_linear/kernel",
    "fusion.get_initial_state.0.bias": "first_linear/bias",
    "fusion.get_initial_state.2.weight": "first_state/kernel",
    "fusion.get_initial_state.2.bias": "first_state/bias",
    "fusion.fusion.0.weight": "speaker_linear/kernel",
    "fusion.fusion.0.bias": "speaker_linear/bias",
    "fusion.lstm_layers.weight_ih_l0": "input_0",
    "fusion.lstm_layers.weight_hh_l0": "hidden_0",
    "fusion.lstm_layers.weight_ih_l1": "input_1",
    "fusion.lstm_layers.weight_hh_l1": "hidden_1",
    "dynam_3dmm_fc.weight": "out/kernel",
    "dynam_3dmm_fc.bias": "out/bias",
}


class Case(NamedTuple):
    network: ZhouNetwork
    params: dict[str, Any]
    golden: dict[str, np.ndarray]

    def run(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Initial state, hidden states and output."""

        def run(audio: jax.Array, speaker: jax.Array, first: jax.Array) -> Any:
            state = self.network.apply({"params": self.params}, first, method="start")
            _, hidden = self.network.apply({"params": self.params}, audio, speaker, state)
            output = self.network.apply({"params": self.params}, hidden, method="frames")
            return jnp.concatenate([*state.hidden, *state.cell], axis=-1), hidden, output

        return jax.jit(run)(*(self.golden[name] for name in ("audio", "speaker", "first")))


@pytest.fixture(scope="module")
def case(goldens: Path) -> Case:
    golden = dict(np.load(goldens / "vico_a.npz"))
    sizes = json.loads(str(golden["meta"]))["config"]
    spec = json.loads((goldens / "vico_spec.json").read_text())
    flat = {}
    for name, shape in spec.items():
        value = fill(name, tuple(shape))
        flat[NAMES[name]] = jnp.asarray(value.T)  # vectors stay as they are
    network = ZhouNetwork(sizes["C"], sizes["audio"], sizes["lstm_input"], sizes["hidden"])
    return Case(network, unflatten_dict(flat, sep="/"), golden)


def test_every_array(case: Case):
    """Padding behind a clip's length is zero in the golden's hidden states, so its output is the bias there."""
    golden = case.golden
    initial_state, hidden, output = case.run()
    inside = (np.arange(20) < golden["lengths"][:, None])[..., None]
    assert not inside.all()
    output_of_padding = np.broadcast_to(case.params["out"]["bias"], output.shape)
    for name, value in {
        "initial_state": initial_state,
        "hidden": np.where(inside, hidden, 0),
        "output": np.where(inside, output, output_of_padding),
    }.items():
        np.testing.assert_allclose(value, golden[name], rtol=0, atol=1e-5 * np.abs(golden[name]).max(), err_msg=name)


@pytest.mark.parametrize("released", [False, True])
def test_losses(case: Case, released: bool):
    golden = case.golden
    expected = json.loads(str(golden["meta"]))["loss_released" if released else "loss_correct"]
    target = jnp.pad(golden["target"], ((0, 0), (0, 1), (0, 0)), constant_values=1e3)  # must not count
    has_target = jnp.arange(20)[None] < golden["lengths"][:, None] - 1
    found = jax.jit(functools.partial(distances, released=released))(golden["output"], target, has_target)
    names = {"exp": "expression", "rotation": "rotation", "translation": "translation"}
    for theirs, ours in names.items():
        assert float(found[ours]) == pytest.approx(expected[theirs], rel=1e-5)
        assert float(found[f"{ours}_change"]) == pytest.approx(expected[f"{theirs}_spiky"], rel=1e-5)
    weighted = sum(expected[name] + (0.001 if name == "exp" else 1) * expected[f"{name}_spiky"] for name in names)
    assert float(total(found)) == pytest.approx(weighted, rel=1e-5)


def test_a_perfect_clip_has_a_loss_of_zero_and_gradients_that_are_finite():
    x = jnp.ones((1, 4, 58))
    has_target = jnp.array([[True, True, True, False]])
    loss, gradient = jax.jit(jax.value_and_grad(lambda y: total(distances(y, x, has_target))))(x)
    assert loss == 0
    assert jnp.isfinite(gradient).all()


def test_two_parts_equal_the_whole(case: Case):
    golden, network, variables = case.golden, case.network, {"params": case.params}
    run = jax.jit(network.apply)
    state = jax.jit(functools.partial(network.apply, method="start"))(variables, golden["first"])
    _, whole = run(variables, golden["audio"], golden["speaker"], state)
    parts = []
    for frames in (slice(0, 7), slice(7, 20)):
        state, part = run(variables, golden["audio"][:, frames], golden["speaker"][:, frames], state)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, rtol=0, atol=1e-6)
