"""The text of a compiled program, `compiled.as_text()`: its instructions, and how often a call runs each."""

import re
from collections import defaultdict
from collections.abc import Container, Iterator
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\(")
_BODY = re.compile(r"body=%?([\w.\-]+)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CONSTANT = re.compile(r" constant\((\d+)\)")
_BELOW = re.compile(r"^\s+ROOT .* compare\((?:\S+ )?%?[\w.\-]+, (?:\S+ )?%?([\w.\-]+)\), direction=LT")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Instruction(NamedTuple):
    """A line of the text."""

    name: str
    shape: str
    """Of its result, with the layout."""
    kind: str
    line: str
    calls: tuple[str, ...]
    """Computations that it runs; each branch, though one of them runs."""


def instructions(hlo: str, into: Container[str] | None = None) -> Iterator[tuple[Instruction, int]]:
    """What a call of the program runs, and how often.

    A loop's body counts as often as the compiler says that it turns. The TPU's does not say: there it counts as often
    as the condition allows that compares the counter, which begins at 0 in JAX's loops, with a constant; else once.

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
            lines[name].append(Instruction(*found.groups(), line, _calls(line)))

    def turns(one: Instruction, callee: str) -> int:
        body, condition, trips = _BODY.search(one.line), _CONDITION.search(one.line), _TRIPS.search(one.line)
        if not body or callee != body[1]:
            return 1
        return int(trips[1]) if trips else _counted_to(lines[condition[1]]) if condition else 1

    def run(name: str, times: int) -> Iterator[tuple[Instruction, int]]:
        yield from ((one, times) for one in lines[name])
        for one in lines[name]:
            if into is None or one.kind in into:
                for callee in one.calls:
                    yield from run(callee, times * turns(one, callee))

    return run(entry, 1)


def _calls(line: str) -> tuple[str, ...]:
    branches = _BRANCHES.search(line)
    return (*_CALLED.findall(line), *(re.findall(r"[\w.\-]+", branches[1]) if branches else []))


def _counted_to(condition: list[Instruction]) -> int:
    """N of a condition "counter < N"; 1 of any other."""
    limits = [below[1] for one in condition if (below := _BELOW.match(one.line))]
    constants = {one.name: int(number[1]) for one in condition if (number := _CONSTANT.search(one.line))}
    return constants.get(limits[0], 1) if limits else 1
