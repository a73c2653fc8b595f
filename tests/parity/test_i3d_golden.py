"""I3D and the Fréchet distance, on the inputs and outputs of the released code."""

import json

import numpy as np
import pytest
from goldens.fill import fill

from reactface_jax import convert, metrics
from reactface_jax.errors import UserError
from reactface_jax.metrics.video_distance import frechet


@pytest.fixture(scope="module")
def state_dict(goldens) -> dict[str, np.ndarray]:
    values = {}
    for name, shape in json.loads((goldens / "i3d_spec.json").read_text()).items():
        value = np.zeros(shape) if name.endswith("num_batches_tracked") else fill(name, tuple(shape), 0)
        values[name] = np.abs(value) + 0.5 if name.endswith("running_var") else value
    return values


def test_logits(goldens, state_dict):
    golden = np.load(goldens / "i3d_a.npz")
    logits = np.asarray(metrics.i3d(convert.i3d(state_dict), golden["video"].astype(np.float32)))
    assert logits.shape == golden["logits"].shape
    assert np.abs(logits - golden["logits"]).max() < 1e-3 * np.abs(golden["logits"]).max()


def test_conversion_is_strict(state_dict):
    del state_dict["Mixed_4c.b2b.bn.running_mean"]
    with pytest.raises(UserError, match=r"Mixed_4c\.b2b\.bn\.running_mean"):
        convert.i3d(state_dict)


def test_frechet_distance(goldens):
    golden = np.load(goldens / "i3d_a.npz")
    np.testing.assert_allclose(frechet(golden["acts_a"], golden["acts_b"]), golden["frechet"], rtol=1e-6)
