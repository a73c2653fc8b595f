"""PyTorch's names of I3D (rgb_imagenet.pt); ours are the same."""

from reactface_jax.convert.tensor_layouts import CONV_3D, SAME, Entry
from reactface_jax.models.i3d import MIXED

_STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
_BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}


def table() -> list[Entry]:
    """Entries of the whole network."""
    units = [*_STEM, *(f"{block}.{branch}" for block in MIXED for branch in _BRANCHES)]
    entries = []
    for unit in units:
        path = unit.replace(".", "/")
        entries.append(Entry(f"{unit}.conv3d.weight", (f"{path}/conv3d/kernel",), CONV_3D))
        entries += [Entry(f"{unit}.bn.{ours}", (f"{path}/bn/{theirs}",), SAME) for ours, theirs in _NORM.items()]
    entries.append(Entry("logits.conv3d.weight", ("logits/kernel",), CONV_3D))
    entries.append(Entry("logits.conv3d.bias", ("logits/bias",), SAME))
    return entries
