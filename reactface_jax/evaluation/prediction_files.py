"""Anyone's reactions as arrays: the .npy files of a command line, checked and described."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from reactface_jax.errors import UserError
from reactface_jax.types import Clips


def read_array(path: str | Path, flag: str) -> Shaped[np.ndarray, "..."]:
    """One array, mapped and not read, so that several predictions need not fit the memory at once.

    Raises:
      UserError: the file is missing, is no .npy, or would run code when it is read.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{flag} {path} does not exist; give a .npy file")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise UserError(
                f"{flag} {path} is a pickle or no .npy, and is not read since that could run code; "
                "save a plain array: np.save(path, array)"
            ) from error
        raise UserError(f"{flag} {path} is damaged or no .npy ({error}); save it again with np.save") from error
    except (OSError, EOFError) as error:
        raise UserError(f"{flag} {path} is damaged or no .npy ({error}); save it again with np.save") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(f"{flag} {path} holds several arrays (.npz); save the one as .npy")
    if array.dtype.kind not in "fiub":
        raise UserError(f"{flag} {path} holds {array.dtype}, not numbers; save floats")
    return array


def read_clips(
    speaker: str | Path,
    listener: str | Path,
    neighbours: str | Path,
    clip_ids: str | Path | None = None,
    coefficient_names: str | Path | None = None,
) -> Clips:
    """The real people of a split.

    Args:
      speaker: .npy of [N, T, C], raw.
      listener: the same of the listeners, in the same order.
      neighbours: .npy of [N, N], 0 and 1.
      clip_ids: a text file with a name a line, for messages and the page.
      coefficient_names: a JSON list of the channels' names, for smiles and the page's heads.

    Raises:
      UserError: a file can't be used, or shapes disagree.
    """
    people = [np.asarray(read_array(path, flag)) for path, flag in ((speaker, "--speaker"), (listener, "--listener"))]
    for path, array in zip((speaker, listener), people, strict=True):
        if array.ndim != 3:
            raise UserError(f"{path} has shape {array.shape}; [N, T, C] is needed")
    matrix = np.asarray(read_array(neighbours, "--neighbours"))
    count = len(people[0])
    if matrix.shape != (count, count):
        raise UserError(f"--neighbours {neighbours} has shape {matrix.shape}; {count} clips need {(count, count)}")
    if not np.isin(matrix, (0, 1)).all():
        raise UserError(f"--neighbours {neighbours} has values besides 0 and 1; give the appropriateness matrix")
    names = [f"clip {i}" for i in range(count)]
    if clip_ids is not None:
        if not Path(clip_ids).is_file():
            raise UserError(f"--clip-ids {clip_ids} does not exist; give a text file with a name a line")
        names = Path(clip_ids).read_text(encoding="utf-8").splitlines()
    if len(names) != count:
        raise UserError(f"--clip-ids {clip_ids} has {len(names)} names for {count} clips; give one a line")
    channels = () if coefficient_names is None else read_names(coefficient_names, people[0].shape[-1])
    return Clips(people[0], people[1], matrix.astype(bool), names, channels)


def read_names(path: str | Path, count: int) -> tuple[str, ...]:
    """Names of the channels. Raises `UserError` unless the file is a JSON list of that many."""
    if not Path(path).is_file():
        raise UserError(f"--coefficient-names {path} does not exist; give a JSON list such as coefficient_names.json")
    try:
        names = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"--coefficient-names {path} is no JSON; give a list of names") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) != count:
        raise UserError(f"--coefficient-names {path} must be a JSON list of {count} names, one a channel")
    return tuple(names)


def read_training(path: str | Path, clips: Clips) -> Shaped[np.ndarray, "M T2 C"]:
    """Listeners of the training split, mapped. Raises `UserError` if the file can't be used or has other channels."""
    array = read_array(path, "--train-listeners")
    channels = clips.speaker.shape[-1]
    if array.ndim != 3 or array.shape[-1] != channels or 0 in array.shape:
        raise UserError(f"--train-listeners {path} has shape {array.shape}; [M, T, {channels}] is needed")
    return array


def read_predictions(words: Sequence[str], clips: Clips) -> dict[str, np.ndarray]:
    """Methods by name, [N, K, T, C] each and mapped; a word is PATH or NAME=PATH. [N, T, C] counts as one reaction.

    Raises:
      UserError: a file can't be used, its shape does not fit the clips, or two methods have one name.
    """
    methods: dict[str, np.ndarray] = {}
    for word in words:
        name, _, path = word.rpartition("=") if not Path(word).is_file() else ("", "", word)
        name = name or Path(path).stem
        if name in methods:
            raise UserError(f"--predictions has two methods called {name}; give them names: NAME=PATH")
        array = read_array(path, "--predictions")
        array = array[:, None] if array.ndim == 3 else array
        expected = clips.speaker.shape
        if array.ndim != 4 or (array.shape[0], *array.shape[2:]) != expected:
            raise UserError(
                f"--predictions {path} has shape {array.shape}; with these speakers [N, K, T, C] = "
                f"({expected[0]}, K, {expected[1]}, {expected[2]}) is needed"
            )
        methods[name] = array
    return methods


def checksum(array: Shaped[np.ndarray, "..."]) -> str:
    """SHA-256 of an array's type, shape and values, whatever file it came from."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    for part in array:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
