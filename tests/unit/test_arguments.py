"""Words of a command line as arguments: one sentence for each kind of mistake."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

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
        (["a.png", "--size", "3", "b.png"], "`b.png` is one word too many; give one PICTURE"),
        (["a.png", "b.png", "--size", "3"], "`b.png` is one word too many; give one PICTURE"),
        (["--size", "3", "a.png", "b.png"], "`b.png` is one word too many; give one PICTURE"),
        (["--size", "3", "--grid", "a.png", "b.png"], "`b.png` is one word too many; give one PICTURE"),
        (["--colours", "a.png", "--size", "3"], "PICTURE, a path, is missing or stands behind a flag"),
        (["a.png", "--size", "3", "--size=4"], "--size is given twice; give it once"),
        (["a.png", "--size", "3", "--grid", "--no-grid"], "--grid is given twice; give it once"),
        (
            ["a.png", "--size", "3", "--colours", "red", "--colours", "blue"],
            "--colours is given twice; give all its values behind one",
        ),
        (["a.png", "--background", "3"], "--background is no flag of `draw`; see `draw --help`"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys):
    with pytest.raises(UserError) as error:
        arguments.run(draw, words, prog="draw")
    assert message in str(error.value)
    assert capsys.readouterr() == ("", "")


def join(first: tyro.conf.Positional[Path], second: tyro.conf.Positional[Path]) -> None:
    """Joins."""


def test_each_word_without_a_flag_is_counted():
    with pytest.raises(UserError, match="SECOND, a path, is missing"):
        arguments.run(join, ["a"], prog="join")
    with pytest.raises(UserError, match=r"^`c` is one word too many; give one FIRST and one SECOND$"):
        arguments.run(join, ["a", "b", "c"], prog="join")


def test_fields_may_be_given_again():
    words = ["--inner.depth", "1", "--inner.depth", "2"]  # a script's, then those that its user adds
    assert arguments.parse(Outer, words, default=Outer(), what="field", see="here") == Outer(Inner(2))


def test_mistakes_in_nested_fields_and_in_names():
    with pytest.raises(UserError, match=r"--inner.dept is no field; did you mean --inner.depth\?"):
        arguments.parse(Outer, ["--inner.dept", "1"], default=Outer(), what="field", see="here")
    with pytest.raises(UserError, match=r"--inner.wide yes does not fit: --inner.wide takes no value; see here"):
        arguments.parse(Outer, ["--inner.wide", "yes"], default=Outer(), what="field", see="here")
    with pytest.raises(UserError, match=r"`draw ti` is no command; there are it"):
        arguments.choose({"it": draw}, ["ti"], prog="draw")
    with pytest.raises(UserError, match=r"`draw chek` is no command; did you mean check\?"):
        arguments.choose({"check": draw}, ["chek"], prog="draw")


@dataclasses.dataclass(frozen=True)
class Nested:
    small: Inner
    large: Inner
    inner: Outer
    which: Literal["small", "other"] = "other"
    learning_rate: float = 0.1


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--small", "--small.depth"),  # a section
        ("--inner", "--inner.inner.depth"),
        ("--depth", "--large.depth, --inner.inner.depth or --small.depth"),  # which is one choice of --which
        ("--wide", "--large.wide, --inner.inner.wide or --small.wide"),
        ("--dept", "--large.depth, --inner.inner.depth or --small.depth"),
        ("--inner.depth", "--inner.inner.depth"),
        ("--lage.depth", "--large.depth"),
        ("--large.dept", "--large.depth"),
        ("--middle.name", "--inner.name"),
        ("--lr", "--learning-rate"),
        ("--large.lr", "--learning-rate"),
    ],
)
def test_a_field_that_stands_elsewhere_is_found(flag, meant):
    parameters = arguments.parameters_of(Nested)
    with pytest.raises(UserError) as error:
        arguments.check_flags([flag, "1"], parameters, "field", "`draw --help`")
    assert str(error.value) == f"{flag} is no field; did you mean {meant}?"


@dataclasses.dataclass(frozen=True)
class Needed:
    config: Annotated[str, arguments.Give("a name or a file")]
    title: Annotated[str, tyro.conf.arg(aliases=("--headline",))] = ""


def test_what_to_give_and_words_without_a_flag_and_aliases():
    with pytest.raises(UserError, match=r"^--config is missing; give a name or a file, as `draw --help` says$"):
        arguments.run(Needed, [], prog="draw")
    with pytest.raises(UserError, match=r"^me\.mp4 does not fit: a flag must stand before it, such as --config; see"):
        arguments.run(Needed, ["me.mp4", "--title", "x"], prog="draw")
    assert arguments.run(Needed, ["--config", "c", "--headline", "x"], prog="draw") == Needed("c", "x")
    with pytest.raises(UserError, match="--headline does not fit: give text"):
        arguments.run(Needed, ["--config", "c", "--headline"], prog="draw")


def test_help_shows_the_switch_that_changes_something_and_both_are_taken(capsys):
    with pytest.raises(SystemExit):
        arguments.run(draw, ["--help"], prog="draw")
    shown = capsys.readouterr().out
    assert "--no-grid" in shown
    assert "--grid" not in shown
    assert arguments.run(draw, ["a.png", "--size", "3", "--grid"], prog="draw")[-1] is True


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
