"""A row of the table made of the checkpoint of its authors."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from reactface_jax.config.ranges import Section
from reactface_jax.convert.mapping import Params, Report, StateDict, to_params
from reactface_jax.convert.tensor_layouts import Entry
from reactface_jax.methods.learned import LearnedMethod, Variables


class ConvertedMethod(NamedTuple):
    """Ready to answer."""

    method: LearnedMethod
    variables: Variables
    report: Report
    config: Section
    """Of the configuration: what the method is made of."""


@functools.cache
def template(method: LearnedMethod) -> Variables:
    """Shapes of a method's variables; nothing is computed."""
    return jax.eval_shape(method.init, jax.random.key(0))


def merged(parts: Sequence[tuple[StateDict, Sequence[Entry], Params, dict[str, str]]]) -> tuple[Params, Report]:
    """Several conversions as one: `to_params` of each, which have no path in common."""
    trees, reports = zip(*(to_params(*part) for part in parts), strict=True)
    tree: dict[str, Any] = {}
    for each in trees:
        _add(tree, each)
    ignored: dict[str, list[str]] = {}
    for report in reports:
        for reason, keys in report.ignored.items():
            ignored.setdefault(reason, []).extend(keys)
    converted = [path for report in reports for path in report.converted]
    return tree, Report(converted, ignored, [path for report in reports for path in report.zeroed])


def _add(tree: dict[str, Any], other: Params) -> None:
    for name, value in other.items():
        if isinstance(value, dict):
            _add(tree.setdefault(name, {}), value)
        else:
            tree[name] = value
