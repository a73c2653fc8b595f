"""What a compiled program sends between devices, read from its HLO."""

import math
import re
from dataclasses import dataclass

from benchmarks.hlo_text import Instruction, instructions

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_STRIDED = re.compile(r"replica_groups=\[(\d+),(\d+)\]<=")
_NAMED = re.compile(r"replica_groups=mesh\[([^\]]*)\].*? \{([^}]*)\}")


@dataclass(frozen=True)
class Collective:
    """One instruction of a program."""

    kind: str
    """One of `KINDS`."""
    shapes: tuple[tuple[int, ...], ...]
    """Of its results on one device; the compiler joins several arrays in one instruction."""
    bytes: int
    """Of its results on one device."""
    group: int
    """Devices that exchange with each other."""
    times: int
    """How often a step runs it: the trips of the loops around it."""
    source: str
    """Name of the operation in the model, as far as the compiler kept it."""


def collectives(hlo: str) -> list[Collective]:
    """Those of a compiled program's text, `compiled.as_text()`."""
    found = ((one, one.kind.removesuffix("-start"), times) for one, times in instructions(hlo))
    return [_collective(one, kind, times) for one, kind, times in found if kind in KINDS]


def _collective(one: Instruction, kind: str, times: int) -> Collective:
    line = one.line
    arrays = [(dtype, tuple(map(int, filter(None, dims.split(","))))) for dtype, dims in _ARRAY.findall(one.shape)]
    if listed := _LISTED.search(line):
        group = len(listed[1].split(","))
    elif strided := _STRIDED.search(line):
        group = int(strided[2])
    elif named := _NAMED.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        group = math.prod(int(sizes[axis]) for axis in re.findall(r"\w+", named[2]))
    else:
        group = 2  # a permutation: pairs
    source = re.search(r'op_name="([^"]*)"', line)
    size = sum(math.prod(shape) * _bits(dtype) // 8 for dtype, shape in arrays)
    return Collective(kind, tuple(s for _, s in arrays), size, group, times, source[1] if source else "")


def _bits(kind: str) -> int:
    digits = re.search(r"\d+", kind)
    return _BITS.get(kind, int(digits[0]) if digits else 8)
