"""Words of a command line as arguments: one sentence for each kind of mistake."""

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
import tyro

from reactface_jax import arguments
from reactface_jax.errors import UserError


def draw(
    picture: tyro.conf.Positional[Path],
    size: int,
    colours: tuple[str, ...] = (),
    form: Literal["png", "jpg"] = "png",
    gamma: float | None = None,
    grid: bool = True,
) -> tuple[object, ...]:
    """Draws.

    Args:
      picture: the file.
      size: pixels.
      colours: names.
      form: of the file.
      gamma: of the picture.
      grid: with lines.
    """
    return picture, size, colours, form, gamma, grid


@dataclasses.dataclass(frozen=True)
class Inner:
    depth: int = 1
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    name: str = ""


def test_words_become_arguments():
    words = ["a.png", "--size", "3", "--colours", "red", "blue", "--form=jpg", "--gamma", "-1.5", "--no-grid"]
    assert arguments.run(draw, words, prog="draw") == (Path("a.png"), 3, ("red", "blue"), "jpg", -1.5, False)
    assert arguments.run(draw, ["--size", "3", "a.png"], prog="draw") == (Path("a.png"), 3, (), "png", None, True)
    assert arguments.run(Outer, ["--inner.wide", "--inner.depth=2"], prog="draw") == Outer(Inner(2, True))
    assert arguments.choose({"it": draw}, ["it", "b", "--size", "1"], prog="draw")[0] == Path("b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--sise", "3"], "--sise is no flag of `draw`; did you mean --size?"),
        (["a.png", "--hlep"], "--hlep is no flag of `draw`; did you mean --help?"),
        (["a.png"], "--size is missing; give a whole number, as `draw --help` says"),
        (["--size", "3"], "PICTURE, a path, is missing"),
        (["a.png", "--size", "big"], "--size big does not fit: give a whole number"),
        (["a.png", "--size"], "--size does not fit: give a whole number"),
        (["a.png", "--size", "3", "--form", "gif"], "--form gif does not fit: give png or jpg"),
        (["a.png", "--size", "3", "--gamma", "x"], "--gamma x does not fit: give a number"),
        (["a.png", "--size", "3", "b.png"], "does not fit; see `draw --help`"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys):
    with pytest.raises(UserError) as error:
        arguments.run(draw, words, prog="draw")
    assert message in str(error.value)
    assert capsys.readouterr() == ("", "")


def test_mistakes_in_nested_fields_and_in_names():
    with pytest.raises(UserError, match=r"--inner.dept is no field; did you mean --inner.depth\?"):
        arguments.parse(Outer, ["--inner.dept", "1"], default=Outer(), what="field", see="here")
    with pytest.raises(UserError, match=r"--inner.wide yes does not fit: --inner.wide takes no value; see here"):
        arguments.parse(Outer, ["--inner.wide", "yes"], default=Outer(), what="field", see="here")
    with pytest.raises(UserError, match=r"`draw ti` is no command; there are it"):
        arguments.choose({"it": draw}, ["ti"], prog="draw")
    with pytest.raises(UserError, match=r"`draw chek` is no command; did you mean check\?"):
        arguments.choose({"check": draw}, ["chek"], prog="draw")


def test_every_field_of_nested_dataclasses_is_a_flag_once():
    assert [each.flag for each in arguments.parameters_of(Outer)] == ["--inner.depth", "--inner.wide", "--name"]
    own = [each for each in arguments.parameters_of(Outer) if each.name == "name"]
    words = ["--inner.depth", "2", "--name", "x", "--other=3"]
    assert arguments.split(words, own) == (["--name", "x"], ["--inner.depth", "2", "--other", "3"])


def test_help_has_types_defaults_and_explanations(capsys):
    with pytest.raises(SystemExit) as stop:
        arguments.run(draw, ["a.png", "--help"], prog="draw")
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for part in ("usage: draw", "--size INT", "pixels. (required)", "--form {png,jpg}", "of the file. (default: png)"):
        assert part in shown
