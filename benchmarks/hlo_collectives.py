"""What a compiled program sends between devices, read from its HLO."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(rf"= (?P<result>.*?) (?P<kind>{'|'.join(KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_STRIDED = re.compile(r"replica_groups=\[(\d+),(\d+)\]<=")
_NAMED = re.compile(r"replica_groups=mesh\[([^\]]*)\].*? \{([^}]*)\}")
_WHILE = re.compile(r"body=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


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
    found: dict[str, list[Collective]] = {}
    calls: dict[str, list[tuple[str, int]]] = {}
    entry = name = ""
    for line in hlo.splitlines():
        if opened := _COMPUTATION.match(line):
            name = opened[2]
            entry = name if opened[1] else entry
            found[name], calls[name] = [], []
            continue
        if not name:
            continue
        trips = _TRIPS.search(line)
        body = _WHILE.search(line)
        branches = _BRANCHES.search(line)
        called = _CALLED.findall(line) + (re.findall(r"[\w.\-]+", branches[1]) if branches else [])
        calls[name] += [(one, int(trips[1]) if trips and body and one == body[1] else 1) for one in called]
        if instruction := _INSTRUCTION.search(line):
            found[name].append(_collective(line, instruction))

    def run(name: str, times: int) -> Iterator[Collective]:
        for one in found.get(name, []):
            yield Collective(one.kind, one.shapes, one.bytes, one.group, times, one.source)
        for callee, trips in calls.get(name, []):
            yield from run(callee, times * trips)

    return list(run(entry, 1))


def _collective(line: str, instruction: re.Match[str]) -> Collective:
    arrays = [(kind, tuple(map(int, filter(None, dims.split(","))))) for kind, dims in _ARRAY.findall(instruction[1])]
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
    size = sum(math.prod(shape) * _bits(kind) // 8 for kind, shape in arrays)
    return Collective(instruction["kind"], tuple(s for _, s in arrays), size, group, 1, source[1] if source else "")


def _bits(kind: str) -> int:
    digits = re.search(r"\d+", kind)
    return _BITS.get(kind, int(digits[0]) if digits else 8)
