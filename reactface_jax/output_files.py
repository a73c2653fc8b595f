"""Files that a command writes where its user says: checked before the work, and nothing is overwritten unasked."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from reactface_jax.errors import UserError


def check_outputs(outputs: Sequence[Path], inputs: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Refuses files that can't or must not be written; call it before long work.

    Args:
      outputs: the files to write; the first is the one that the user named.
      inputs: files that the command reads, by their flags; never overwritten.
      overwrite: whether files that are there may be replaced.

    Raises:
      UserError: a file would overwrite an input, is there already, or its folder is missing or not writable.
    """
    for path in outputs:
        for flag, read in inputs.items():
            if read is not None and path.resolve() == read.resolve():
                raise UserError(f"{path} is {flag}, and would be overwritten; give another --out")
        if path.is_dir():
            raise UserError(f"{path} is a folder; give a file's name")
        if os.path.lexists(path) and not overwrite:
            raise UserError(f"{path} already exists; give --overwrite to replace it, or another --out")
    check_folder_of(outputs[0])


def check_folder_of(path: Path) -> None:
    """Raises `UserError` unless the folder that a file is to be written into is there, and can be written to."""
    folder = path.parent
    if not folder.exists():
        raise UserError(f"folder {folder} does not exist; create it, or choose another place for {path.name}")
    if not folder.is_dir():
        raise UserError(f"{path} lies below the file {folder}; choose another place for {path.name}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"there is no permission to write in {folder}; choose another place for {path.name}")
