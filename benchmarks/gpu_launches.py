"""What a program that is compiled for a GPU launches, read from its HLO."""

import math
import re
from collections import Counter, defaultdict
from typing import NamedTuple

LARGE = 16 * 2**20
"""Bytes from which on a transpose is listed."""

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (\(.*?\)|\S+) ([\w\-]+)\(")
_LOOP = re.compile(r"body=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
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
    lines: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    entry = name = ""
    for line in hlo.splitlines():
        if opened := _COMPUTATION.match(line):
            name = opened[2]
            entry = name if opened[1] else entry
        elif instruction := _INSTRUCTION.match(line):
            lines[name].append((instruction[2], instruction[1], line))
    kinds: Counter[str] = Counter()
    layouts: Counter[str] = Counter()
    transposes: Counter[str] = Counter()

    def count(name: str, times: int) -> None:
        for kind, shape, line in lines[name]:
            if kind == "while" and (body := _LOOP.search(line)):
                trips = _TRIPS.search(line)
                count(body[1], times * (int(trips[1]) if trips else 1))
            elif kind == "custom-call" and (target := _TARGET.search(line)):
                kinds[target[1]] += times
                if "conv" in target[1] and (layout := _LAYOUT.search(line)):
                    layouts[layout[1]] += times
            elif kind in ("fusion", "copy", "transpose", "sort", "scatter", "rng-bit-generator"):
                kinds[kind] += times
                moved = kind in ("copy", "transpose") or "transpose" in line.split(" = ")[0]
                if moved and _bytes(shape) >= LARGE:
                    transposes[re.sub(r"\{[^}]*\}", "", shape)] += times

    count(entry, 1)
    return Launches(kinds, layouts, transposes)


def _bytes(shape: str) -> int:
    return sum(
        math.prod(map(int, filter(None, dims.split(",")))) * int(bits) // 8 for _, bits, dims in _ARRAY.findall(shape)
    )
