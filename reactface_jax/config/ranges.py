"""Which values a field of a configuration takes: its range stands beside its name, and one check reads both."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from reactface_jax.errors import UserError


@dataclass(frozen=True)
class Range:
    """Finite numbers between two bounds, and single ones besides."""

    least: int | float = -math.inf
    most: int | float = math.inf
    above: int | float = -math.inf
    below: int | float = math.inf
    besides: tuple[int, ...] = ()

    def __contains__(self, value: int | float) -> bool:
        inside = self.least <= value <= self.most and self.above < value < self.below
        return math.isfinite(value) and (inside or value in self.besides)

    def __str__(self) -> str:
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        said = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
        other = f", or {' or '.join(f'{value:g}' for value in self.besides)}" if self.besides else ""
        return (" and ".join(said) or "a finite number") + other


Count = Annotated[int, Range(least=1)]
CountOrNone = Annotated[int, Range(least=0)]
"""0 turns it off, or means all."""
Frames = Annotated[int, Range(least=3)]
"""Of a clip: fewer have no change of velocity."""
Size = Annotated[int, Range(least=1, besides=(-1,))]
"""Of a mesh's axis."""
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
"""JAX's keys have 32 bits where 64-bit numbers are off: more would silently be another seed's."""
Positive = Annotated[float, Range(above=0)]
Weight = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, below=1)]
"""Probabilities of dropping, decays: 1 would leave nothing, or change nothing."""
Probability = Annotated[float, Range(least=0, most=1)]


class Section:
    """A part of a configuration, whose fields are checked when it is made."""

    _name = ""

    def __init_subclass__(cls, name: str) -> None:
        """`name` is that of the command line, such as "model.audio"."""
        cls._name = name

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(f"{self._name}.{field.name}", getattr(self, field.name), hints[field.name])


def require(condition: bool, message: str) -> None:
    """Raises `UserError` with the message unless the condition holds."""
    if not condition:
        raise UserError(message)


def _check(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        require(value in choices, f"{name} {value!r} must be one of {', '.join(choices)}")
        return
    kind, *ranges = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    kinds = (int, float) if kind is float else (kind,)
    fits = isinstance(value, kinds) and (kind is bool or not isinstance(value, bool))
    require(fits, f"{name} {value!r} must be {_KINDS.get(kind, f'a {kind.__name__}')}")
    for each in ranges:
        require(value in each, f"{name} {value} must be {each}")


_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
