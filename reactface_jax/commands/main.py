"""`reactface COMMAND …`: finds the command's module by its name and gives it the other words."""

import dataclasses
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from reactface_jax.arguments import SHOWN, check_choice
from reactface_jax.commands.table import COMMANDS, EXTRAS
from reactface_jax.errors import UserError, reports_user_errors

_SHELLS = ("bash", "zsh", "fish", "tcsh")
_DESCRIPTION = """Listener faces that answer a speaker: ReactFace in JAX.

`reactface COMMAND --help` explains a command's flags, `reactface --version` says what is installed, and
`reactface completion bash` prints a script with which the shell completes commands and flags: source it."""


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs the command line `words`, the program's own by default."""
    words = sys.argv[1:] if words is None else list(words)
    if not words or words[0] in ("-h", "--help"):
        summaries = {name: _described(command.summary) for name, command in COMMANDS.items()}
        _tree(summaries, ["--help"])
    if words[0] == "--version":
        print(version())
        return
    if words[0] == "completion":
        return print_completion(words[1:])
    check_choice(words[0], [*COMMANDS, "completion"], "reactface")
    try:
        importlib.import_module(COMMANDS[words[0]].module).main(words[1:])
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error


def version() -> str:
    """What is installed, without importing it."""
    names = ("reactface-jax", "jax", "flax")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{packages}, Python {sys.version.split()[0]}"


def missing_extra(error: ModuleNotFoundError) -> Exception:
    """The sentence about a package of the optional dependencies that is not installed; else the error itself."""
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return error
    return UserError(
        f"this command needs {package}, which is not installed; "
        f"install it with `pip install 'reactface-jax[{EXTRAS[package]}]'`"
    )


def print_completion(words: Sequence[str]) -> None:
    """Prints a shell's completion script for all commands that can be imported here.

    Raises:
      UserError: the shell is missing or unknown.
    """
    if len(words) != 1 or words[0] not in _SHELLS:
        raise UserError(f"`reactface completion` needs a shell: {', '.join(_SHELLS)}")
    calls: dict[str, Callable[..., Any]] = {}
    for name, command in COMMANDS.items():
        try:
            call = getattr(importlib.import_module(command.module), command.call)
        except ModuleNotFoundError as error:
            if isinstance(missing_extra(error), UserError):
                continue
            raise
        calls[name] = _group(name, call) if isinstance(call, dict) else call
    tyro.cli(
        _one_of(calls),
        prog="reactface",
        args=["--tyro-print-completion", words[0]],
        config=(tyro.conf.OmitSubcommandPrefixes, *SHOWN),
    )


def _group(name: str, calls: Mapping[str, Callable[..., Any]]) -> type:
    """A command with commands of its own, as tyro has them: a dataclass with a field for the one that is chosen."""
    return dataclasses.make_dataclass(name, [("command", _one_of(calls))])


def _one_of(calls: Mapping[str, Callable[..., Any]]) -> Any:
    """The type of a choice between commands."""
    names = [tyro.conf.subcommand(name, constructor=call) for name, call in calls.items()]
    return Union[tuple(Annotated[Any, name] for name in names)]  # noqa: UP007


def _tree(calls: Mapping[str, Callable[..., Any]], words: Sequence[str]) -> None:
    """Has tyro print what concerns all commands, and ends."""
    tyro.extras.subcommand_cli_from_dict(dict(calls), prog="reactface", description=_DESCRIPTION, args=list(words))


def _described(summary: str) -> Callable[[], None]:
    def described() -> None:
        pass

    described.__doc__ = summary
    return described
