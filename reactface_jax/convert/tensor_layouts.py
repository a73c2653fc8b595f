"""How PyTorch and Flax lay out a module's tensors: the vocabulary of the conversion tables.

A table is a list of entries; a function here gives the entries of one kind of module. Layouts work both ways.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """One PyTorch tensor as one or several parameters, and back."""

    to_jax: Callable[[np.ndarray], Sequence[np.ndarray]]
    to_torch: Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Entry:
    """A line of a table: the PyTorch name, the Flax paths ("a/b/kernel") it fills, and the layout between them."""

    source: str
    targets: tuple[str, ...]
    layout: Layout
    optional: bool = False
    """Absent from some checkpoints; zeros then."""


def _axes(*order: int) -> Layout:
    inverse = np.argsort(order)
    return Layout(lambda x: [x.transpose(order)], lambda xs: xs[0].transpose(inverse))


SAME = Layout(lambda x: [x], lambda xs: xs[0])
DENSE = _axes(1, 0)  # [out, in] -> [in, out]
CONV_1D = _axes(2, 1, 0)  # [out, in, k] -> [k, in, out]
CONV_3D = _axes(2, 3, 4, 1, 0)  # [out, in, kt, kh, kw] -> [kt, kh, kw, in, out]
TAP_GAIN = Layout(lambda x: [x.reshape(-1)], lambda xs: xs[0].reshape(1, 1, -1))  # weight norm over the last axis
PACKED_DENSE = Layout(  # query, key and value stacked as rows
    lambda x: [part.T for part in np.split(x, 3)], lambda xs: np.concatenate([x.T for x in xs])
)
PACKED_BIAS = Layout(lambda x: np.split(x, 3), np.concatenate)


def linear(source: str, target: str) -> list[Entry]:
    """`nn.Linear`."""
    return [
        Entry(f"{source}.weight", (f"{target}/kernel",), DENSE),
        Entry(f"{source}.bias", (f"{target}/bias",), SAME),
    ]


def norm(source: str, target: str) -> list[Entry]:
    """`nn.LayerNorm` and `nn.GroupNorm`."""
    return [
        Entry(f"{source}.weight", (f"{target}/scale",), SAME),
        Entry(f"{source}.bias", (f"{target}/bias",), SAME),
    ]


def attention(source: str, target: str) -> list[Entry]:
    """`nn.MultiheadAttention`."""
    packed = ("query", "key", "value")
    return [
        Entry(f"{source}.in_proj_weight", tuple(f"{target}/{name}/kernel" for name in packed), PACKED_DENSE),
        Entry(f"{source}.in_proj_bias", tuple(f"{target}/{name}/bias" for name in packed), PACKED_BIAS),
        *linear(f"{source}.out_proj", f"{target}/out"),
    ]


def encoder_layer(source: str, target: str) -> list[Entry]:
    """`nn.TransformerEncoderLayer`."""
    return [
        *attention(f"{source}.self_attn", f"{target}/self_attention"),
        *linear(f"{source}.linear1", f"{target}/linear1"),
        *linear(f"{source}.linear2", f"{target}/linear2"),
        *norm(f"{source}.norm1", f"{target}/norm1"),
        *norm(f"{source}.norm2", f"{target}/norm2"),
    ]


def decoder_layer(source: str, target: str) -> list[Entry]:
    """`nn.TransformerDecoderLayer`."""
    return [
        *encoder_layer(source, target),
        *attention(f"{source}.multihead_attn", f"{target}/cross_attention"),
        *norm(f"{source}.norm3", f"{target}/norm3"),
    ]
