"""Configurations on disk, found by name from any folder: those that come with the package, and files of one's own."""

import difflib
import runpy
from pathlib import Path
from typing import Any

from reactface_jax.errors import UserError

_PACKAGE = Path(__file__).parent


def shipped_configs() -> Path:
    """The folder of the configurations that come with the package: in the package, or beside it in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def find_config(name: str | Path) -> Path:
    """The file of a configuration.

    Args:
      name: a file, such as mine.py; or a name, such as `reference`, `configs/reference.py` or `methods/trans-ae`, of a
        configuration that comes with the package, with `-` or `_`. A file that exists goes first.

    Raises:
      UserError: there is no such file or name, or the file is not Python.
    """
    path = Path(name)
    if path.is_file():
        if path.suffix != ".py":
            raise UserError(f"configuration {name} is not a Python file; give a file such as configs/reference.py")
        return path
    folder = shipped_configs()
    parts = path.with_suffix("").parts if path.suffix == ".py" else path.parts
    asked = [part.replace("-", "_") for part in (parts[1:] if parts[:1] == ("configs",) else parts)]
    inside = folder.joinpath(*asked).with_suffix(".py")
    if not path.is_absolute() and ".." not in parts and inside.is_file():
        return inside
    # Without ablations/, whose files are sets of changes and no configurations.
    files = [*sorted(folder.glob("*.py")), *sorted(folder.glob("methods/*.py"))]
    known = {each.stem: each.relative_to(folder).with_suffix("").as_posix() for each in files}
    nearest = difflib.get_close_matches(path.stem.replace("-", "_"), known, n=1)
    hint = f"did you mean {known[nearest[0]]}?" if nearest else f"give a file, or one of {', '.join(known.values())}"
    raise UserError(f"configuration {name} does not exist; {hint}")


def read_config_file(name: str | Path) -> Any:
    """What a configuration file calls `config`; None if it defines none.

    Args:
      name: as `find_config` takes it.

    Raises:
      UserError: there is no such configuration, or it can't be read.
    """
    path = find_config(name)
    try:
        # Not as a module, whose bytecode is kept: of two versions of one second and size the older would be read.
        return runpy.run_path(str(path), run_name=f"config_{path.stem}").get("config")
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"configuration {path} can't be read: {type(error).__name__}: {error}") from error
