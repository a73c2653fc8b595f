"""What a program that is compiled for a GPU launches, read from its HLO."""

import math
import re
from collections import Counter
from typing import NamedTuple

from benchmarks.hlo_text import instructions

LARGE = 16 * 2**20
"""Bytes from which on a transpose is listed."""

_ENTERED = ("while", "call", "conditional", "async-start")
"""Kinds of instructions whose computations are launched one by one; those of a fusion are one kernel."""
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_LAYOUT = re.compile(r"dim_labels=(\S+?),")
_ARRAY = re.compile(r"([a-z]+)(\d+)\[([\d,]*)\]")


class Launches(NamedTuple):
    """What one call of a program launches."""

    kinds: Counter[str]
    """Fusions (kernels), library calls by their target, copies, sorts, other kernels."""
    layouts: Counter[str]
    """Of cuDNN's convolutions."""
    transposes: Counter[str]
    """Shapes of transposes and copies of `LARGE` bytes and more that stand by themselves."""


def launches(hlo: str) -> Launches:
    """Of a compiled program's text, `compiled.as_text()`."""
    kinds: Counter[str] = Counter()
    layouts: Counter[str] = Counter()
    transposes: Counter[str] = Counter()
    for one, times in instructions(hlo, into=_ENTERED):
        if one.kind == "custom-call" and (target := _TARGET.search(one.line)):
            kinds[target[1]] += times
            if "conv" in target[1] and (layout := _LAYOUT.search(one.line)):
                layouts[layout[1]] += times
        elif one.kind in ("fusion", "copy", "transpose", "sort", "scatter", "rng-bit-generator"):
            kinds[one.kind] += times
            moved = one.kind in ("copy", "transpose") or "transpose" in one.name
            if moved and _bytes(one.shape) >= LARGE:
                transposes[re.sub(r"\{[^}]*\}", "", one.shape)] += times
    return Launches(kinds, layouts, transposes)


def _bytes(shape: str) -> int:
    return sum(
        math.prod(map(int, filter(None, dims.split(",")))) * int(bits) // 8 for _, bits, dims in _ARRAY.findall(shape)
    )
