"""Texts from files that anyone may have written: plain text, JSON and csv tables, read alike everywhere.

UTF-8, with or without a byte order mark, as Excel writes one.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from reactface_jax.errors import UserError

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}
_REST = "\0"  # the key of what a row has beyond the named columns


def text_from_bytes(content: bytes, *, name: str, advice: str = "save it as UTF-8") -> str:
    """Text of a file's bytes, without its byte order mark.

    Raises:
      UserError: it is not UTF-8. The message is "<name> is no text in UTF-8 (...); <advice>".
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {content[error.start]:#04x}"
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            where = "it is UTF-16"
        raise UserError(f"{name} is no text in UTF-8 ({where}); {advice}") from error


def read_text(path: str | Path, *, name: str = "", advice: str = "save it as UTF-8") -> str:
    """As `text_from_bytes`, of a file on this machine; `name` is its path if not given. Raises `UserError` likewise."""
    name = name or str(path)
    try:
        return text_from_bytes(Path(path).read_bytes(), name=name, advice=advice)
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist; {advice}") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a folder, not a file; {advice}") from error
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror or error}); {advice}") from error


def json_from_text(text: str, *, name: str, advice: str) -> Json:
    """What a JSON text says.

    Raises:
      UserError: it is no JSON, or is nested deeper than Python can read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{name} is JSON that is nested too deep to be read; {advice}") from error
    except ValueError as error:  # also a number of more than 4,300 digits
        raise UserError(f"{name} is not JSON ({_one_line(error)}); {advice}") from error


def table_from_text(
    text: str, columns: Sequence[str], *, name: str, advice: str = ""
) -> tuple[list[str], list[dict[str, str]]]:
    """The columns' names and the rows of a csv whose first line names them.

    Args:
      text: of the file.
      columns: names that the first line must have.
      name: what the message calls the file.
      advice: what the person should do if a column is missing.

    Returns:
      All names; and each row by them, "" where a row ends early. Empty lines are no rows.

    Raises:
      UserError: a column is missing or there twice, a row has more cells than there are names, the cells are separated
        by another sign than the comma, or it is no csv.
    """
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, restkey=_REST, restval="")
        found = [column.strip() for column in reader.fieldnames or []]
        reader.fieldnames = found
        rows: list[dict[str, str]] = list(reader)
    except csv.Error as error:
        raise UserError(f"{name} is not a csv file ({error}); copy it again") from error
    if missing := sorted(set(columns) - set(found)):
        check_delimiter(text, name=name)
        raise UserError(
            f"{name} has no column {' and no column '.join(missing)}; "
            + (advice or f"its header must name {' and '.join(columns)}")
        )
    if twice := [column for column in columns if found.count(column) > 1]:
        raise UserError(f"{name} has the column {twice[0]} {found.count(twice[0])} times; remove all but one")
    for number, row in enumerate(rows):
        if any(row.pop(_REST, [])):
            raise UserError(
                f"{name}, row {number}, has more cells than the first line has names; put texts with commas into quotes"
            )
    return found, rows


def check_delimiter(text: str, *, name: str) -> None:
    """Raises `UserError` for a csv whose first line has semicolons or tabs, and no comma, between its cells."""
    first = text.lstrip().partition("\n")[0]
    for sign, word in _OTHER_DELIMITERS.items():
        if sign in first and "," not in first:
            raise UserError(f"{name} has {word} between its cells, not commas; save it as csv with commas")


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
