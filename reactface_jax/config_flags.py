"""Command lines on which a command's own flags stand beside the fields of a configuration."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import tyro

from reactface_jax import arguments
from reactface_jax.errors import UserError

A = TypeVar("A")


def parse_with_fields(
    kind: type[A],
    words: Sequence[str] | None,
    *,
    prog: str,
    fields_of: Callable[[A], type],
    shown: Callable[[A | None], Any],
) -> tuple[A, list[str]]:
    """Reads a command's own flags.

    Args:
      kind: the dataclass of these.
      words: the command line; None: this program's own.
      prog: how the command is called, for messages.
      fields_of: the configuration's class, whose fields may stand beside them.
      shown: the configuration whose fields `--help` shows with their values; of None where the flags don't say which.

    Returns:
      The command's flags, and the words that change fields.

    Raises:
      UserError: a flag is neither the command's nor the configuration's, one is missing, or a value does not fit.
      SystemExit: with code 0, after `--help`.
    """
    words = sys.argv[1:] if words is None else list(words)
    own, others = arguments.split(words, arguments.parameters_of(kind))
    if any(word in arguments.HELP for word in words):
        _help(kind, [word for word in own if word not in arguments.HELP], prog, shown)
    what, see = f"flag of `{prog}` and no field of the configuration", f"`{prog} --help`"
    flags = arguments.parameters_of(kind)
    try:
        given = arguments.run(kind, own, prog=prog)
    except UserError:  # --cofnig: not that --config is missing
        arguments.check_flags(others, [*flags, *arguments.parameters_of(type(shown(None)))], what, see)
        raise
    arguments.check_flags(others, [*flags, *arguments.parameters_of(fields_of(given))], what, see)
    return given, others


def _help(kind: type[A], own: list[str], prog: str, shown: Callable[[A | None], Any]) -> None:
    """Prints the flags and the fields, and ends."""
    given: A | None = None
    with contextlib.suppress(UserError):  # a flag that is needed is missing, as it may be beside --help
        given = arguments.run(kind, own, prog=prog)
    config = shown(given)
    unprefixed = tyro.conf.arg(name="")
    flags = ("command", Annotated[kind, unprefixed, *arguments.SHOWN])
    both = dataclasses.make_dataclass(
        "both",
        [
            flags if given is None else (*flags, dataclasses.field(default=given)),
            ("fields", Annotated[type(config), unprefixed], dataclasses.field(default=config)),
        ],
    )
    tyro.cli(both, prog=prog, description=kind.__doc__, args=["--help"])
