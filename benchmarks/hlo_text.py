"""The text of a compiled program, `compiled.as_text()`: its instructions, and how often a call runs each."""

import re
from collections import defaultdict
from collections.abc import Container, Iterator
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\(")
_BODY = re.compile(r"body=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Instruction(NamedTuple):
    """A line of the text."""

    name: str
    shape: str
    """Of its result, with the layout."""
    kind: str
    line: str
    calls: tuple[tuple[str, int], ...]
    """Computations that it runs, with how often: a loop's body as often as the compiler says that it turns, or once;
    each branch once, though one of them runs."""


def instructions(hlo: str, into: Container[str] | None = None) -> Iterator[tuple[Instruction, int]]:
    """What a call of the program runs, and how often.

    Args:
      hlo: the text.
      into: kinds of instructions whose computations are entered; all if not given. A GPU's fusion, for example, is one
        kernel, whatever stands in its computation.
    """
    lines: dict[str, list[Instruction]] = defaultdict(list)
    entry = name = ""
    for line in hlo.splitlines():
        if opened := _COMPUTATION.match(line):
            name = opened[2]
            entry = name if opened[1] else entry
        elif found := _INSTRUCTION.match(line):
            lines[name].append(Instruction(*found.groups(), line, tuple(_calls(line))))

    def run(name: str, times: int) -> Iterator[tuple[Instruction, int]]:
        yield from ((one, times) for one in lines[name])
        for one in lines[name]:
            if into is None or one.kind in into:
                for callee, trips in one.calls:
                    yield from run(callee, times * trips)

    return run(entry, 1)


def _calls(line: str) -> Iterator[tuple[str, int]]:
    trips, body, branches = _TRIPS.search(line), _BODY.search(line), _BRANCHES.search(line)
    for called in _CALLED.findall(line) + (re.findall(r"[\w.\-]+", branches[1]) if branches else []):
        yield called, int(trips[1]) if trips and body and called == body[1] else 1
