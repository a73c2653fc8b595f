"""The documentation's commands and snippets: commands parse with their flags and values, snippets name what is there.

What the commands do is run by the other tests here, on data of their own.
"""

import ast
import dataclasses
import functools
import importlib
import pkgutil
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reactface_jax import arguments
from reactface_jax.commands.table import COMMANDS
from reactface_jax.config import Config, apply_overrides
from reactface_jax.config_files import find_config, read_config_file

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_IN_THE_TABLE = ("completion", "--help", "--version")


def blocks(*languages: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of the languages; "" are blocks that name none."""
    pattern = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = [(page, match) for page in PAGES for match in pattern.finditer(page.read_text(encoding="utf-8"))]
    return [(page.name, match[2]) for page, match in found if match[1] in languages]


def lines_of(prefix: str) -> list[tuple[str, tuple[str, ...]]]:
    """(page, words) of every command in a block that begins so, perhaps behind NAME=VALUE."""
    found = set()
    for page, text in blocks("sh", ""):
        for line in text.replace("\\\n", " ").splitlines():
            if match := re.match(rf"\s*(?:\w+=\S+ )*({prefix} .*)", line):
                found.add((page, tuple(shlex.split(match[1], comments=True))))
    return sorted(found)


def spans() -> list[tuple[str, tuple[str, ...]]]:
    """(page, words) of every command within a sentence."""
    found = set()
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for span in re.findall(r"`(reactface [^`]+)`", text):
            found.add((page.name, tuple(span.split())))
    return sorted(found)


def resolve(words: tuple[str, ...]) -> tuple[Callable[..., Any], list[str], str]:
    """The function or dataclass of a command, the other words, and the command's name."""
    command = COMMANDS[words[1]]
    call = getattr(importlib.import_module(command.module), command.call)
    if isinstance(call, dict):
        return call[words[2]], list(words[3:]), " ".join(words[:3])
    return call, list(words[2:]), " ".join(words[:2])


def fields_of(words: list[str]) -> Any:
    """The configuration whose fields may stand on the command line."""
    if "--config" in words and (name := words[words.index("--config") + 1]).islower():
        return read_config_file(name)
    return Config()


def is_usage(words: tuple[str, ...]) -> bool:
    """Whether a line shows what may be given instead of being a command."""
    return any(sign in word for word in words for sign in "[]…|") or "..." in words


def test_there_are_commands_and_snippets() -> None:
    assert len(lines_of("reactface")) > 20
    assert len(spans()) > 10
    assert len(blocks("python")) > 5


@pytest.mark.parametrize(("page", "words"), lines_of("reactface"), ids=lambda x: x if isinstance(x, str) else x[1])
def test_a_command_parses(page: str, words: tuple[str, ...]) -> None:
    if words[1] in NOT_IN_THE_TABLE:
        return
    call, rest, prog = resolve(words)
    if is_usage(words):
        return check_flags(call, [word.strip("[]") for word in rest], prog)
    if words[1] in ("train", "eval", "ablations"):
        own, fields = arguments.split(rest, arguments.parameters_of(call))
        arguments.bind(call, own, prog=prog)
        if "RUN" not in rest:
            apply_overrides(fields_of(rest), fields)
    else:
        arguments.bind(call, rest, prog=prog)


@pytest.mark.parametrize(("page", "words"), spans(), ids=lambda x: x if isinstance(x, str) else x[1])
def test_a_command_in_a_sentence_is_there(page: str, words: tuple[str, ...]) -> None:
    if words[1] in NOT_IN_THE_TABLE or not words[1].isidentifier():
        return
    if len(words) == 2:
        importlib.import_module(COMMANDS[words[1]].module)
        return
    call, rest, prog = resolve(words)
    check_flags(call, [word.strip("[]") for word in rest], prog)


def check_flags(call: Callable[..., Any], rest: list[str], prog: str) -> None:
    parameters = arguments.parameters_of(call)
    if dataclasses.is_dataclass(call):  # beside a configuration's fields
        parameters += arguments.parameters_of(type(fields_of(rest)))
    arguments.check_flags(rest, parameters, f"flag of `{prog}`", f"`{prog} --help`")


def test_configurations_that_are_named_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"--config ([a-z_][\w./-]*)|`(configs/\w+\.py)`", page.read_text(encoding="utf-8")):
            find_config(name[0] or name[1])


@pytest.mark.parametrize(("page", "words"), lines_of("python"), ids=lambda x: x if isinstance(x, str) else x[1])
def test_a_script_is_there(page: str, words: tuple[str, ...]) -> None:
    script = words[1] if words[1] != "-m" else words[2].replace(".", "/") + ".py"
    assert (ROOT / script).is_file(), f"{page}: there is no {script}"
    source = (ROOT / script).read_text(encoding="utf-8")
    for flag in (word.split("=")[0] for word in words if word.startswith("--")):
        assert flag in source or flag[2:].replace("-", "_") in source, f"{page}: {script} has no {flag}"


def test_a_script_that_needs_its_neighbours_is_run_as_a_module() -> None:
    """`python benchmarks/x.py` finds no `benchmarks`, of which only `python -m` makes a package."""
    scripts = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "docs").glob("*.py")])
    texts = {path: path.read_text(encoding="utf-8") for path in [*PAGES, ROOT / "Makefile", *scripts]}
    called = {match for text in texts.values() for match in re.findall(r"python ((?:benchmarks|docs)/\w+\.py)", text)}
    assert len(called) > 20
    for name in called:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"^from (benchmarks|docs)\b", source, re.MULTILINE), f"write `python -m` for {name}"


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_a_snippet_names_what_there_is(page: str, text: str) -> None:
    """It parses, its imports work, and `package.name` exists for every imported package."""
    tree = ast.parse(text)
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name.split(".")[0]] = importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = ast.unparse(node).split(".")
            if names[0] in modules and all(name.isidentifier() for name in names):
                functools.reduce(getattr, names[1:], modules[names[0]])


def listed() -> set[str]:
    """Full names of what api.md lists: by a directive, or as `rf.NAME` in its text; a module's with `:members:` too."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = {f"reactface_jax.{name}" for name in re.findall(r"`rf\.(\w+)", page)}
    for kind, name, options in re.findall(r"^\.\. auto(\w+):: (\S+)\n((?:   :.*\n)*)", page, re.MULTILINE):
        names.add(name)
        if kind == "module":
            module = importlib.import_module(name)
            own = [each for each, value in vars(module).items() if getattr(value, "__module__", "") == name]
            public = getattr(module, "__all__", own)
            chosen = re.search(r":members: (.+)", options)
            names |= {f"{name}.{member}" for member in (chosen[1].split(", ") if chosen else public)}
    return names


def snippets() -> list[tuple[str, str]]:
    """(page, text) of every Python block of pages, cards and notebooks."""
    pages = [*PAGES, *sorted((ROOT / "docs").glob("*/*.md"))]
    pattern = re.compile(r"^```(?:python|\{code-cell\}.*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(page.name, text) for page in pages for text in pattern.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "text"), snippets())
def test_what_a_snippet_takes_from_here_is_listed(page: str, text: str) -> None:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name != "reactface_jax"}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "rf":
            names.add(f"reactface_jax.{node.attr}")
    ours = {name for name in names if name.split(".")[0] in ("reactface_jax", "data_pipeline")}
    assert not ours - listed(), f"{page} uses what docs/api.md does not list"


def spelled_out() -> list[tuple[str, str]]:
    """(page, name) of every name that pages give in full: in a directive, or as `reactface_jax.ROOM.NAME`."""
    pattern = re.compile(r"(?:^\.\. auto\w+:: |`)((?:reactface_jax|data_pipeline)(?:\.\w+)+)", re.MULTILINE)
    pages = [*PAGES, *sorted((ROOT / "docs").glob("*/*.md"))]
    found = {(page.name, name) for page in pages for name in pattern.findall(page.read_text(encoding="utf-8"))}
    return sorted(found)


@pytest.mark.parametrize(("page", "name"), spelled_out())
def test_a_name_that_is_spelled_out_exists(page: str, name: str) -> None:
    assert pkgutil.resolve_name(name) is not None


def test_all_public_names_are_listed() -> None:
    package = importlib.import_module("reactface_jax")
    assert len(package.__all__) > 15
    assert not {f"reactface_jax.{name}" for name in package.__all__} - listed()
    for room in (package, package.metrics, package.rendering):
        assert dir(room) == sorted(room.__all__)
        assert all(hasattr(room, name) for name in dir(room))


@functools.cache
def own_words() -> tuple[str, ...]:
    """Every text of the program, … where values are put in."""
    texts = set()
    for path in [*(ROOT / "reactface_jax").rglob("*.py"), *(ROOT / "data_pipeline").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.add("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return tuple(texts)


def messages() -> list[str]:
    """What troubleshooting.md quotes: the spans at the beginning of its tables' rows that are sentences."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return [quoted for quoted in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE) if " " in quoted]


def test_messages_are_quoted() -> None:
    assert len(messages()) > 15


@pytest.mark.parametrize("message", messages())
def test_a_message_is_the_programs_own(message: str) -> None:
    pieces = [re.escape(piece.strip()) for piece in message.split("…") if piece.strip()]
    assert any(re.search(".*".join(pieces), text, re.DOTALL) for text in own_words())
