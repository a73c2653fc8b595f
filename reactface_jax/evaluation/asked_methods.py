"""Which methods an evaluation is of: the words of its command line become trained methods and reference rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from reactface_jax.config import Config
from reactface_jax.config.fields import MethodName
from reactface_jax.errors import UserError
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.prediction_files import PEOPLE
from reactface_jax.evaluation.published_table import ORDER
from reactface_jax.evaluation.reference_rows import REFERENCES
from reactface_jax.methods.listener import find_weights
from reactface_jax.methods.rows import ROWS
from reactface_jax.methods.trained import Stored, read_stored, stored_folder, stored_run
from reactface_jax.text_reading import read_text
from reactface_jax.weights.params_file import CONFIG_NAME
from reactface_jax.weights.run import load_run

_LISTENER = REFERENCES["listener"]


@dataclass(frozen=True)
class Asked:
    """A method that was asked for."""

    name: str
    """In the table."""
    row: str
    """The row of the paper's table that it belongs to, or what the table calls it."""
    stored: Stored | None = None
    """None: a reference row, or a listener."""
    listener: Path | None = None
    """Weights of a listener of the user's own training."""


def asked_methods(arguments: Arguments) -> list[Asked]:
    """The methods of a command line.

    Raises:
      UserError: one can't be read, or a flag is for methods that are not among them.
    """
    if arguments.table:
        asked = read_methods(arguments.table, arguments.step, arguments.average)
        if arguments.wav2vec2 is not None and REFERENCES["nn-audio"] not in [one.row for one in asked]:
            raise UserError("--wav2vec2 is for the row nn-audio; add that to --methods, or leave --wav2vec2 out")
        of_runs = [one for one in asked if one.stored is not None and one.stored.mean_face is not None]
        if (arguments.step is not None or not arguments.average) and not of_runs:
            raise UserError("--step and --no-average are for training runs, and there is none; leave them out")
        return asked
    if arguments.checkpoint is not None:
        stored = _of_run(arguments.checkpoint, arguments.step, arguments.average)
    else:
        assert arguments.converted is not None
        stored = stored_folder(arguments.converted)
    row = row_of(stored.config)
    return [Asked(row, row, stored)]


def _of_run(folder: Path, step: int | Literal["best"] | None, average: bool) -> Stored:
    """Of --checkpoint. Raises `UserError`, which names the flag that takes the folder, if it is something else."""
    if find_weights(folder) is not None:
        raise UserError(f"--checkpoint {folder} is a listener's training; give --methods {folder}")
    if (folder / CONFIG_NAME).is_file():
        raise UserError(f"--checkpoint {folder} was converted; give --converted {folder}")
    return stored_run(load_run(folder, step, average=average), folder)


def read_methods(words: Sequence[str], step: int | Literal["best"] | None, average: bool) -> list[Asked]:
    """The methods of `--methods`, in the order of the paper's table.

    Args:
      words: [NAME=]RUN, a folder that a training, also of a listener, or `reactface convert` left, or one of
        `REFERENCES`; or one text file with such words, a line each. A NAME such as ng says which method it must be,
        others are the table's.
      step: which checkpoint of the runs.
      average: take the moving averages.

    Raises:
      UserError: a word is neither, a run is of another method than it was called, or two have one name.
    """
    if len(words) == 1 and Path(words[0]).is_file():
        lines = read_text(words[0], name=f"--methods {words[0]}", advice="give a text file with a method a line")
        words = [word for line in lines.splitlines() if (word := line.split("#")[0].strip())]
    asked: list[Asked] = []
    for word in words:
        one = _read(word, step, average)
        if one.name in [other.name for other in asked]:
            raise UserError(f"--methods has two methods called {one.name}; give them names: NAME=RUN")
        asked.append(one)
    if not asked:
        raise UserError("--methods names no method; give runs, NAME=RUN, or rows such as mirror")
    return sorted(asked, key=lambda one: place(one.row))


def place(row: str) -> int:
    """Where a row stands in the table; rows that it does not know stand last."""
    return ORDER.index(row) if row in ORDER else len(ORDER)


def _read(word: str, step: int | Literal["best"] | None, average: bool) -> Asked:
    if word in REFERENCES:
        return Asked(REFERENCES[word], REFERENCES[word])
    called, _, folder = word.rpartition("=") if not Path(word).exists() else ("", "", word)
    if called in PEOPLE and called not in REFERENCES:
        raise UserError(
            f"--methods {word} calls a method {called}, as the report calls an array of the real people; give it "
            "another name"
        )
    if (weights := find_weights(Path(folder))) is not None:
        name = called or f"{_LISTENER} {weights.parent.resolve().name}"
        if name in (*REFERENCES, *REFERENCES.values(), *get_args(MethodName)):
            raise UserError(
                f"--methods {word} calls a listener {name}, which is a row of its own; give it another name"
            )
        return Asked(name, _LISTENER, listener=weights)
    if not Path(folder).is_dir():
        raise UserError(
            f"--methods {word} is neither a run, NAME=RUN, nor one of {', '.join(REFERENCES)}; give one of these"
        )
    stored = read_stored(Path(folder), step, average)
    method = stored.config.method
    if called in REFERENCES or called in REFERENCES.values():
        raise UserError(f"--methods {word} calls a run {called}, which is a row of its own; give it another name")
    if called in get_args(MethodName) and called != method:
        raise UserError(f"--methods {word}: {folder} is of the method {method}; call it so, or give a run of {called}")
    row = row_of(stored.config)
    return Asked(row if called in ("", method) else called, row, stored)


def row_of(config: Config) -> str:
    """What the table calls a configuration's method."""
    return "ReactFace" if config.method == "reactface" else ROWS[config.method](config).name
