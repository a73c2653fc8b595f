"""The words of a command line as a function's arguments: tyro parses, and a mistake becomes one sentence.

The names, types, defaults and documentation of a function's parameters, or of a dataclass's fields, are its flags:
`--help` shows them. A misspelt flag is answered with the nearest name, a value that does not fit with those that do.
"""

import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import itertools
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from reactface_jax.errors import UserError

R = TypeVar("R")

HELP = ("-h", "--help")
SHOWN = (tyro.conf.FlagCreatePairsOff,)
"""How `--help` shows a command's flags: of --x and --no-x, which are both taken, the one that changes something."""

_POSITIONAL = get_args(tyro.conf.Positional[int])[1]
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
_TYPO = 0.8  # from which similarity on the last word of a dotted name counts as misspelt


@dataclasses.dataclass(frozen=True)
class Give:
    """A mark of a parameter's type: what to give, for the message that the flag is missing."""

    what: str


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What may stand on a command line."""

    name: str
    """With hyphens, without the leading ones; dotted inside nested dataclasses."""
    kind: Any
    """Its type."""
    positional: bool
    required: bool
    give: str = ""
    """What to give, where the type does not say it."""
    aliases: tuple[str, ...] = ()
    """Other names, likewise with hyphens and without the leading ones."""

    @property
    def is_switch(self) -> bool:
        """Whether it is given as --name or --no-name, without a value."""
        return self.kind is bool and not self.positional

    @property
    def flag(self) -> str:
        return f"--{self.name}"


def run(call: Callable[..., R], words: Sequence[str] | None, *, prog: str, description: str | None = None) -> R:
    """Calls a function with the arguments that a command line gives.

    Args:
      call: its parameters' names, types and defaults are the flags, its docstring explains them; or a dataclass.
      words: the command line without the program's name; None: this program's own.
      prog: how the command is called, for messages.
      description: shown by `--help` above the flags; the docstring's beginning by default.

    Raises:
      UserError: a flag is unknown, one is missing, or a value does not fit.
      SystemExit: with code 0, after `--help`.
    """
    words = sys.argv[1:] if words is None else list(words)
    if any(word in HELP for word in words):
        shown = call if isinstance(call, type) else _without_calling(call)
        tyro.cli(shown, prog=prog, description=description, args=["--help"], config=SHOWN)
    return bind(call, words, prog=prog)()


def bind(call: Callable[..., R], words: Sequence[str], *, prog: str) -> Callable[[], R]:
    """A function with the arguments that a command line gives, ready to be called. As `run`, without `--help`."""
    parameters = parameters_of(call)
    see = f"`{prog} --help`"
    check_flags(words, parameters, f"flag of `{prog}`", see)
    _check_once(words, parameters)
    if isinstance(call, type):
        made = _parsed(call, words, parameters, see)
        return lambda: made
    bound: Callable[[], R] = _parsed(_without_calling(call), words, parameters, see)
    return bound


def choose(
    calls: Mapping[str, Callable[..., Any]], words: Sequence[str] | None, *, prog: str, description: str | None = None
) -> Any:
    """Calls the function that the first word names with the arguments that the others give.

    Args:
      calls: the functions by their names on the command line.
      words: the command line without the program's name; None: this program's own.
      prog: how the command is called, for messages.
      description: shown by `--help` above the names.

    Raises:
      UserError: the first word names none of them; or as `run`.
      SystemExit: with code 0, after `--help`.
    """
    words = sys.argv[1:] if words is None else list(words)
    if not words or words[0] in HELP:
        tyro.extras.subcommand_cli_from_dict(dict(calls), prog=prog, description=description, args=["--help"])
    check_choice(words[0], list(calls), prog)
    return run(calls[words[0]], words[1:], prog=f"{prog} {words[0]}")


def check_choice(word: str, names: Sequence[str], prog: str) -> None:
    """Raises `UserError` unless a command's name is one of those that there are."""
    if word not in names:
        nearest = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(names)}"
        raise UserError(f"`{prog} {word}` is no command; {hint}")


def parse(kind: type[R], words: Sequence[str], *, default: R, what: str, see: str) -> R:
    """A dataclass with the fields that a command line changes.

    Args:
      kind: the dataclass.
      words: flags and their values.
      default: the values of the fields that no flag changes.
      what: what a flag is, for messages, such as "field of the configuration".
      see: where flags are explained.

    Raises:
      UserError: a flag is unknown, or a value does not fit.
    """
    parameters = parameters_of(kind)
    check_flags(words, parameters, what, see)
    return _parsed(kind, words, parameters, see, default=default)


def split(words: Sequence[str], own: Sequence[Parameter]) -> tuple[list[str], list[str]]:
    """Parts a command line into the words of `own` flags, with those in front of every flag, and all others."""
    mine: list[str] = []
    others: list[str] = []
    for flag, values in _segments(words):
        known = flag is None or flag in HELP or _find(flag, own) is not None
        (mine if known else others).extend(values if flag is None else [flag, *values])
    return mine, others


def parameters_of(call: Callable[..., Any]) -> list[Parameter]:
    """What a function or a dataclass, and the dataclasses in its fields, take from a command line."""
    hints = get_type_hints(call, include_extras=True)
    found = []
    for name, given in inspect.signature(call).parameters.items():
        kind, marks = hints[name], []
        if get_origin(kind) is Annotated:
            kind, *marks = get_args(kind)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found += [
                dataclasses.replace(inner, name=f"{_hyphens(name)}.{inner.name}") for inner in parameters_of(kind)
            ]
        else:
            required = given.default is inspect.Parameter.empty
            give = "".join(mark.what for mark in marks if isinstance(mark, Give))
            aliases = tuple(_name(alias) for mark in marks for alias in getattr(mark, "aliases", None) or ())
            found.append(Parameter(_hyphens(name), kind, _POSITIONAL in marks, required, give, aliases))
    return found


def check_flags(words: Sequence[str], parameters: Sequence[Parameter], what: str, see: str) -> None:
    """Raises `UserError` for a flag that is none of those there are.

    Args:
      words: a command line.
      parameters: what there is.
      what: what a flag is, for the message.
      see: where flags are explained; the message says so where no name is near.
    """
    for flag, _ in _segments(words):
        if flag is None or flag in HELP or _find(flag, parameters) is not None:
            continue
        name = _name(flag)
        meant = [f"--{each}" for each in _near(name, parameters)]
        raise UserError(f"--{name} is no {what}; {f'did you mean {_either(meant)}?' if meant else f'see {see}'}")


def _check_once(words: Sequence[str], parameters: Sequence[Parameter]) -> None:
    """Raises `UserError` for a flag that is given twice: its first value would be lost."""
    seen = set()
    for flag, _ in _segments(words):
        parameter = None if flag is None else _find(flag, parameters)
        if parameter is None:
            continue
        if parameter.name in seen:
            advice = "give all its values behind one" if _takes_several(parameter) else "give it once"
            raise UserError(f"{parameter.flag} is given twice; {advice}")
        seen.add(parameter.name)


def _takes_several(parameter: Parameter) -> bool:
    """Whether a parameter takes more than one word."""
    return any(get_origin(kind) in (tuple, list) for kind in (parameter.kind, *get_args(parameter.kind)))


def _near(name: str, parameters: Sequence[Parameter]) -> list[str]:
    """The names that may be meant by one that there is not.

    The first field of a section. Or all names with the same last word, or a misspelt one, if possible of the same
    section; sections of which another flag chooses one, such as the methods', stand last. Or the nearest name.
    """
    names = [each.name for each in parameters if not each.positional]
    section, _, word = name.rpartition(".")
    if inside := [each for each in names if each.startswith(f"{name}.")]:
        return inside[:1]
    sections = {each: each.rpartition(".")[0] for each in names}
    lasts = {each: each.rpartition(".")[2] for each in names}
    if not section and word not in lasts.values():
        word = next(iter(difflib.get_close_matches(word, lasts.values(), n=1, cutoff=_TYPO)), word)
    same = [each for each, last in lasts.items() if word in (last, _initials(last))]
    if section:
        near = difflib.get_close_matches(section, [sections[each] for each in same], n=1)
        same = [each for each in same if not near or sections[each] == near[0]]
    else:
        own = [each for each in names if not sections[each]]
        same = list(dict.fromkeys([*difflib.get_close_matches(name, own, n=1, cutoff=_TYPO), *same]))
    if same:
        choices = [
            get_args(each.kind) for each in parameters if "." not in each.name and get_origin(each.kind) is Literal
        ]
        return sorted(same, key=lambda each: any(sections[each] in values for values in choices))
    return difflib.get_close_matches(name, [*names, "help"], n=1, cutoff=0.6)


def _initials(word: str) -> str:
    """Such as lr of learning-rate; a word without hyphens has none."""
    return "".join(part[:1] for part in word.split("-")) if "-" in word else word


def fits(kind: Any) -> str:
    """In words, what may be given for a type."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _either([str(value) for value in inner])
    if origin in (Union, types.UnionType):
        return _either([fits(each) for each in inner if each is not type(None)])
    if origin in (tuple, list):
        return f"{fits(inner[0])}, or several of these"
    return "a path"


def _either(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _without_calling(call: Callable[..., R]) -> Callable[..., Callable[[], R]]:
    """tyro calls what it parses for; this way the call comes later, when no output is held back.

    In the docstring each argument is one line, since `--help` would break it where the source does.
    """

    @functools.wraps(call)
    def bound(*args: Any, **kwargs: Any) -> Callable[[], R]:
        return functools.partial(call, *args, **kwargs)

    before, heading, after = (inspect.getdoc(call) or "").partition("\nArgs:\n")
    bound.__doc__ = before + heading + re.sub(r"\n {4,}", " ", after)
    vars(bound)["__signature__"] = inspect.signature(call)
    del vars(bound)["__wrapped__"]  # where tyro would look for the docstring
    return bound


def _parsed(
    call: Callable[..., Any], words: Sequence[str], parameters: Sequence[Parameter], see: str, default: Any = None
) -> Any:
    given = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # tyro prints some errors in spite of console_outputs=False
            return tyro.cli(call, args=list(words), console_outputs=False, **given)
    except SystemExit as error:
        raise UserError(_mistake(words, parameters, see, complete=default is None)) from error


def _mistake(words: Sequence[str], parameters: Sequence[Parameter], see: str, complete: bool) -> str:
    """The sentence about a command line that tyro does not take."""
    seen = set()
    loose: list[str] = []  # words that no flag takes
    positional = [parameter for parameter in parameters if parameter.positional]
    takes_others = bool(positional)
    needed = [each for each in parameters if complete and each.required and not each.positional]
    for flag, values in _segments(words):
        if flag is None and not takes_others:
            such = f", such as {needed[0].flag}" if needed else ""
            return f"{' '.join(values)} does not fit: a flag must stand before it{such}; see {see}"
        parameter = None if flag is None else _find(flag, parameters)
        if parameter is None:
            loose += values
            continue
        seen.add(parameter.name)
        if not _takes_several(parameter):
            loose += values[0 if parameter.is_switch else 1 :]
        if parameter.is_switch:
            if values and not takes_others:
                return f"{flag} {' '.join(values)} does not fit: {parameter.flag} takes no value; see {see}"
        elif not _can_be(parameter, values, takes_others):
            given = " ".join([str(flag), *values])
            return f"{given} does not fit: give {fits(parameter.kind)}; see {see}"
    for parameter in needed:
        if parameter.name not in seen:
            return f"{parameter.flag} is missing; give {parameter.give or fits(parameter.kind)}, as {see} says"
    if complete:
        for number, parameter in enumerate(positional):
            if parameter.required and len(loose) <= number:
                name = parameter.name.upper()
                return f"{name}, {fits(parameter.kind)}, is missing or stands behind a flag that takes it; see {see}"
    if positional and len(loose) > len(positional) and not any(map(_takes_several, positional)):
        names = " and ".join(f"one {parameter.name.upper()}" for parameter in positional)
        return f"`{loose[len(positional)]}` is one word too many; give {names}"
    return f"{' '.join(words)} does not fit; see {see}"


def _can_be(parameter: Parameter, values: Sequence[str], takes_others: bool) -> bool:
    """Whether tyro takes words as a parameter's value, or those at their beginning where others may follow."""
    counts = range(1, len(values) + 1) if takes_others else [len(values)]
    for count in counts:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
            tyro.cli(parameter.kind, args=list(values[:count]), console_outputs=False)
            return count > 0
    return False


def _segments(words: Sequence[str]) -> Iterator[tuple[str | None, list[str]]]:
    """Flags with the words behind each; None for the words in front of the first."""
    starts = [i for i, word in enumerate(words) if word.startswith("--") or word == "-h"]
    if words and (not starts or starts[0] > 0):
        yield None, list(words[: starts[0] if starts else len(words)])
    for start, end in itertools.pairwise([*starts, len(words)]):
        flag, equals, value = words[start].partition("=")
        yield flag, [*([value] if equals else []), *words[start + 1 : end]]


def _find(flag: str, parameters: Sequence[Parameter]) -> Parameter | None:
    name = _name(flag)
    bare = ".".join(part.removeprefix("no-") for part in name.split("."))
    for parameter in parameters:
        known = (parameter.name, *parameter.aliases)
        if not parameter.positional and (name in known or (parameter.is_switch and bare in known)):
            return parameter
    return None


def _name(flag: str) -> str:
    return _hyphens(flag.removeprefix("--").split("=")[0])


def _hyphens(name: str) -> str:
    return name.replace("_", "-")
