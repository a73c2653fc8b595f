"""The documentation's commands and snippets: the programs exist, know every flag shown, and the names used are there.

What the commands do is run by the other tests here, on data of their own.
"""

import ast
import contextlib
import functools
import importlib
import io
import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(*languages: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of the languages; "" are blocks that name none."""
    pattern = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = [(page, match) for page in PAGES for match in pattern.finditer(page.read_text(encoding="utf-8"))]
    return [(page.name, match[2]) for page, match in found if match[1] in languages]


def commands() -> list[tuple[str, tuple[str, ...]]]:
    """(page, words) of every command that runs Python."""
    lines = [(page, line) for page, text in blocks("sh", "") for line in text.replace("\\\n", " ").splitlines()]
    words = [(page, tuple(shlex.split(line, comments=True))) for page, line in lines if "python " in line]
    # NAME=VALUE may stand before the program.
    stripped = [(page, tuple(w[next((i for i, x in enumerate(w) if "=" not in x), 0) :])) for page, w in words if w]
    return sorted({(page, each) for page, each in stripped if each and each[0] == "python"})


@functools.cache
def help_of(program: tuple[str, ...]) -> str:
    """What a program prints for --help."""
    out = io.StringIO()
    run = (
        functools.partial(runpy.run_module, program[1], run_name="__main__", alter_sys=True)
        if program[0] == "-m"
        else functools.partial(runpy.run_path, str(ROOT / program[0]), run_name="__main__")
    )
    rest = program[2:] if program[0] == "-m" else program[1:]
    with (
        mock.patch.object(sys, "argv", [program[1] if program[0] == "-m" else program[0], *rest, "--help"]),
        mock.patch.object(sys, "path", [str((ROOT / program[0]).parent), str(ROOT), *sys.path]),
        mock.patch.object(sys, "dont_write_bytecode", True),  # runpy would keep what the import hook made of a module
        mock.patch.dict("os.environ", {"COLUMNS": "200"}),
        contextlib.redirect_stdout(out),
        pytest.raises(SystemExit) as stop,
    ):
        run()
    assert not stop.value.code, f"{program} --help failed"
    return out.getvalue()


def test_there_are_commands_and_snippets() -> None:
    assert len(commands()) > 20
    assert len(blocks("python")) > 5


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # runpy, of modules that tests import
@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda value: value if isinstance(value, str) else None)
def test_a_command_knows_its_flags(page: str, words: tuple[str, ...]) -> None:
    program = words[1:3] if words[1] == "-m" else words[1:2]
    rest = words[len(program) + 1 :]
    if rest and re.fullmatch(r"[a-z][a-z0-9]+", rest[0]) and rest[0] in help_of(program):
        program = (*program, rest[0])
    text = help_of(program)
    for flag in (word.split("=")[0] for word in rest if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{page}: {' '.join(program)} has no {flag}"
    for name in (word for word in rest if word.startswith("configs/")):
        assert (ROOT / name).is_file(), f"{page}: there is no {name}"


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
