"""Where a compiled program's time goes, by part of the model: the profiler's events, named as the program's HLO is."""

import collections
import gzip
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_CONTROL = re.compile("while$|body$|cond$|branch|closed_call|checkpoint$")
_NAMED = re.compile(r"%?([\w.-]+) = .*metadata=\{op_name=\"([^\"]*)\"")


def time_by_part(compiled: Any, run: Callable[[], Any], depth: int = 3) -> list[tuple[str, float]]:
    """Seconds of a compiled program's operations, by the first `depth` names of the module they come from.

    Operations on different cores or streams overlap: the sum may exceed the time on the wall, and what the
    profiler does not see (on a CPU: parts of large matrix products) is missing from it.
    """
    names = {}
    for line in compiled.as_text().splitlines():
        if found := _NAMED.match(line.strip().removeprefix("ROOT ")):
            names[found[1]] = found[2]
    totals: dict[str, float] = collections.Counter()
    for operation, seconds in _operations(run):
        totals[_part(names.get(operation, re.sub(r"[.0-9]+$", "", operation)), depth)] += seconds
    return sorted(totals.items(), key=lambda item: -item[1])


def _operations(run: Callable[[], Any]) -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(run())
        (file,) = Path(folder).rglob("*.trace.json.gz")
        with gzip.open(file, "rt") as opened:
            events = json.load(opened)["traceEvents"]
    return [
        (event["args"]["hlo_op"], event["dur"] / 1e6)
        for event in events
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {})
    ]


def _part(name: str, depth: int) -> str:
    """`jit(step)/transpose(jvp(ReactFace))/speaker/conv1/...` to `speaker/conv1 (backward)`."""
    words = name.split("/")
    backward = any(word.startswith("transpose(") for word in words)
    modules = [word for word in words if "(" not in word and not _CONTROL.match(word)]
    return "/".join(modules[:depth]) + (" (backward)" if backward else "")
