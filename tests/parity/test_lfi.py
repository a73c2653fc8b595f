"""LFI's network against the released one: conditions, flow steps, likelihoods and samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from goldens.fill import fill

from reactface_jax.methods.lfi import sampling
from reactface_jax.methods.lfi.flow_step import FlowStep
from reactface_jax.methods.lfi.loss import bits
from reactface_jax.methods.lfi.network import LfiNetwork


class Case(NamedTuple):
    network: LfiNetwork
    variables: dict[str, Any]
    golden: dict[str, np.ndarray]

    def apply(self, method: str | Callable, *arguments: Any, **others: Any) -> Any:
        return jax.jit(lambda *a: self.network.apply(self.variables, *a, method=method, **others))(*arguments)

    def other(self) -> jax.Array:
        return self.apply("other", self.golden["other_face"], self.golden["other_speech"])


def variables_of(spec: dict[str, list[int]], golden: dict[str, np.ndarray]) -> dict[str, Any]:
    """Filled by name; written out here, so that it does not depend on the conversion."""
    flat: dict[str, np.ndarray] = {}
    gru = {"weight_ih": "input_kernel", "weight_hh": "hidden_kernel", "bias_ih": "input_bias", "bias_hh": "hidden_bias"}
    names = {
        "actnorm.bias": "actnorm_bias",
        "actnorm.logs": "actnorm_logs",
        "invconv.l": "lower",
        "invconv.u": "upper",
        "invconv.log_s": "log_scale",
        "f.cond_transform.0.weight": "condition_kernel",
        "f.cond_transform.0.bias": "condition_bias",
        "f.final_linear.weight": "final_kernel",
        "f.final_linear.bias": "final_bias",
        "f.final_linear.logs": "final_logs",
        **{f"f.rnn.{theirs}": f"gru/{ours}" for theirs, ours in gru.items()},
    }
    for name, shape in spec.items():
        value = fill(name, tuple(shape))
        *_, rest = name.split("encoder.encoder.") if "encoder.encoder" in name else name.split(".", 4)[4:]
        if name.startswith("feature_encoder"):
            which = "face" if "p2_face" in name else "speech"
            path = f"params/{which}_encoder/{gru[rest.removesuffix('_l0')]}"
        else:
            path = f"params/step_{name.split('.')[3]}/{names[rest]}"
        transposed = "kernel" in path
        flat[path] = value.T if transposed else value.reshape(-1) if "actnorm" in path else value
    for index, (rows, sign) in enumerate(zip(golden["p_rows"], golden["sign_s"], strict=True)):
        flat[f"fixed/step_{index}/permutation"] = np.eye(len(rows), dtype=np.float32)[rows]
        flat[f"fixed/step_{index}/sign"] = sign
    return jax.tree.map(jnp.asarray, unflatten_dict(flat, sep="/"))


@pytest.fixture(scope="module")
def case(goldens: Path) -> Case:
    golden = dict(np.load(goldens / "lfi_a.npz"))
    sizes = json.loads(str(golden["meta"]))["config"]
    network = LfiNetwork(
        channels=sizes["C"],
        speech_features=sizes["S"],
        flow_steps=sizes["K"],
        hidden_width=sizes["hidden"],
        condition_width=sizes["cond"],
        face_width=sizes["h2"],
        speech_width=sizes["h2"],
    )
    return Case(network, variables_of(json.loads((goldens / "lfi_spec.json").read_text()), golden), golden)


def assert_close(golden: dict[str, np.ndarray], tolerance: float = 1e-5, **values: Any) -> None:
    """Largest difference over largest magnitude."""
    for name, value in values.items():
        assert value.shape == golden[name].shape, name
        np.testing.assert_allclose(
            value, golden[name], rtol=0, atol=tolerance * np.abs(golden[name]).max(), err_msg=name
        )


def test_condition(case: Case):
    own = case.network.apply(case.variables, jnp.asarray(case.golden["face"]), method="own")
    assert_close(case.golden, condition_24=jnp.concatenate([own, case.other()], axis=-1)[:, 0])


def test_a_step_frame_by_frame(case: Case):
    """Its state carried from the first frame to the second, both under the same condition."""
    golden, network = case.golden, case.network
    own, other = jnp.split(golden["condition_24"][:, None], [network.history * network.channels], axis=-1)
    step = FlowStep(network.channels, own.shape[-1], other.shape[-1], network.condition_width, network.hidden_width)
    variables = {kind: tree["step_0"] for kind, tree in case.variables.items()}
    hidden, outs = jnp.zeros((len(own), network.hidden_width)), []
    forward = jax.jit(lambda *a: step.apply(variables, *a, method="forward"))
    for x in (golden["face"][:, 24:25], golden["face"][:, 25:26]):
        out, log_determinant, hidden = forward(x, own, other, hidden)
        outs.append((out[:, 0], log_determinant[:, 0], hidden))
    step_out, step_logdet, step_hidden = (jnp.stack(parts) for parts in zip(*outs, strict=True))
    assert_close(
        golden,
        step_out=step_out,
        step_logdet=step_logdet,
        step_hidden=step_hidden,
        step_weight=step.apply(variables, method="weight"),
    )


@pytest.mark.parametrize("released", [False, True])
def test_likelihood(case: Case, released: bool):
    suffix = "_released" if released else ""
    case = case._replace(network=case.network.clone(released=released))
    z, log_determinant = case.apply("forward", case.golden["face"], case.other())
    values = bits(z, log_determinant)
    assert_close(case.golden, z=z, **{f"bits{suffix}": values, f"loss{suffix}": values.mean()[None]})


def test_samples_feed_themselves_back(case: Case):
    noise = jnp.asarray(case.golden["noise"])
    state = sampling.start(case.network, len(noise), 1)
    draw = jax.jit(lambda *a: sampling.sample(case.network, case.variables, *a))
    _, drawn = draw(state, case.other(), noise[:, None])
    assert_close(case.golden, sampled=drawn[:, 0])


def test_two_parts_equal_the_whole(case: Case):
    """And so does a loop over frames."""
    noise = jax.random.normal(jax.random.key(0), (3, 2, 8, 58))
    draw = jax.jit(lambda *a: sampling.sample(case.network, case.variables, *a))
    other = case.other()
    start = sampling.start(case.network, 3, 2)
    whole_state, whole = draw(start, other, noise)
    state, parts = start, []
    for frame in range(8):
        state, part = draw(state, other[:, frame : frame + 1], noise[:, :, frame : frame + 1])
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, axis=2), whole, rtol=0, atol=1e-4)
    np.testing.assert_allclose(state.hidden, whole_state.hidden, rtol=0, atol=1e-4)


def test_drawing_undoes_the_flow(case: Case):
    """The noise of known frames gives the frames again, when history and state are theirs."""
    golden = case.golden
    z, _ = case.apply("forward", golden["face"], case.other())
    own = jnp.asarray(golden["face"][:, 19:24].reshape(3, 1, -1))
    state = sampling.start(case.network, 3, 1)._replace(history=own)
    _, frames = sampling.sample(case.network, case.variables, state, case.other(), z[:, None])
    np.testing.assert_allclose(frames[:, 0], golden["face"][:, 24:], rtol=0, atol=2e-3)


def test_actnorm_starts_with_standardised_first_frames(case: Case):
    golden = case.golden
    found = case.apply("measured_actnorms", golden["face"], case.other())
    first = golden["face"][:, 24]
    np.testing.assert_allclose(found["step_0"]["actnorm_bias"], -first.mean(0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.exp(-found["step_0"]["actnorm_logs"]), first.std(0) + 1e-6, rtol=1e-4)
    # With them in place every step's first frame has mean 0 and deviation 1 behind its actnorm.
    params = {name: {**value, **found.get(name, {})} for name, value in case.variables["params"].items()}

    def normalised(network: LfiNetwork, face: jax.Array, other: jax.Array) -> list[jax.Array]:
        own, x = network.own(face)[:, :1], face[:, network.context, None]
        found = []
        for step, hidden in zip(network.steps, network.start_hidden(len(x)), strict=True):
            found.append(step.actnorm(x))
            x, _, _ = step.from_normalised(found[-1], own, other[:, :1], hidden)
        return found

    again = case._replace(variables={**case.variables, "params": params})
    frames = again.apply(normalised, golden["face"], case.other())
    assert len(frames) == len(found) > 1
    for frame in frames:
        np.testing.assert_allclose(frame.mean((0, 1)), 0, atol=1e-4)
        np.testing.assert_allclose(frame.std((0, 1)), 1, rtol=1e-3)
