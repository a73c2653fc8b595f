"""Anyone's reactions as arrays: the .npy files of a command line, checked and described."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.metrics.scores import NOT_MEASURABLE, is_measurable
from reactface_jax.text_reading import json_from_text, read_text
from reactface_jax.types import Clips

CLIP_IDS = "clip_ids.txt"
"""Beside the arrays of an evaluation: a clip's name a line, as --clip-ids takes them."""
PEOPLE = ("speaker", "listener", "neighbours")
"""What a report calls the arrays of the real people: no method can be called so beside them."""
_SAVE_AGAIN = "save it with np.save"


def read_array(path: str | Path, flag: str) -> Shaped[np.ndarray, "..."]:
    """One array, mapped and not read, so that several predictions need not fit the memory at once.

    Raises:
      UserError: the file is missing, is no .npy of numbers, or would run code when it is read.
    """
    return read_npy(path, name=f"{flag} {path}", advice=_SAVE_AGAIN, mapped=True)


def read_clips(
    speaker: str | Path,
    listener: str | Path,
    neighbours: str | Path | None,
    clip_ids: str | Path | None = None,
    coefficient_names: str | Path | None = None,
) -> Clips:
    """The real people of a split.

    Args:
      speaker: .npy of [N, T, C], raw.
      listener: the same of the listeners, in the same order.
      neighbours: .npy of [N, N], 0 and 1; None: only a clip's own listener is appropriate.
      clip_ids: a text file with a name a line, for messages and the page.
      coefficient_names: a JSON list of the channels' names, for smiles and the page's heads.

    Raises:
      UserError: a file can't be used, or shapes disagree.
    """
    people = [np.asarray(read_array(path, flag)) for path, flag in ((speaker, "--speaker"), (listener, "--listener"))]
    for path, array in zip((speaker, listener), people, strict=True):
        if array.ndim != 3:
            raise UserError(f"{path} has shape {array.shape}; [N, T, C] is needed")
    count = len(people[0])
    matrix = np.eye(count) if neighbours is None else np.asarray(read_array(neighbours, "--neighbours"))
    if matrix.shape != (count, count):
        raise UserError(f"--neighbours {neighbours} has shape {matrix.shape}; {count} clips need {(count, count)}")
    if not np.isin(matrix, (0, 1)).all():
        raise UserError(f"--neighbours {neighbours} has values besides 0 and 1; give the appropriateness matrix")
    names = [f"clip {i}" for i in range(count)]
    if clip_ids is not None:
        flag, advice = f"--clip-ids {clip_ids}", "give a text file with a name a line"
        names = read_text(clip_ids, name=flag, advice=advice).splitlines()
    if len(names) != count:
        raise UserError(f"--clip-ids {clip_ids} has {len(names)} names for {count} clips; give one a line")
    channels = () if coefficient_names is None else read_names(coefficient_names, people[0].shape[-1])
    return Clips(people[0], people[1], matrix.astype(bool), names, channels)


def read_names(path: str | Path, count: int) -> tuple[str, ...]:
    """Names of the channels. Raises `UserError` unless the file is a JSON list of that many."""
    flag, advice = f"--coefficient-names {path}", "give a JSON list such as coefficient_names.json"
    names = json_from_text(read_text(path, name=flag, advice=advice), name=flag, advice=advice)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) != count:
        raise UserError(f"{flag} must be a JSON list of {count} names, one a channel")
    return tuple(str(name) for name in names)


def read_training(path: str | Path, clips: Clips) -> Shaped[np.ndarray, "M T2 C"]:
    """Listeners of the training split, mapped. Raises `UserError` if the file can't be used or has other channels."""
    array = read_array(path, "--train-listeners")
    channels = clips.speaker.shape[-1]
    if array.ndim != 3 or array.shape[-1] != channels or 0 in array.shape:
        raise UserError(f"--train-listeners {path} has shape {array.shape}; [M, T, {channels}] is needed")
    return array


def prediction_paths(words: Sequence[str]) -> dict[str, Path]:
    """Files by the methods' names; a word is PATH or NAME=PATH. Raises `UserError` if two methods have one name."""
    paths: dict[str, Path] = {}
    for word in words:
        name, _, path = word.rpartition("=") if not Path(word).is_file() else ("", "", word)
        name = name or Path(path).stem
        if name in paths:
            raise UserError(f"--predictions has two methods called {name}; give them names: NAME=PATH")
        paths[name] = Path(path)
    return paths


def read_predictions(paths: Mapping[str, Path], clips: Clips) -> dict[str, np.ndarray]:
    """Methods by name, [N, K, T, C] each and mapped; [N, T, C] counts as one reaction.

    Raises:
      UserError: a file can't be used, or its shape does not fit the clips.
    """
    methods: dict[str, np.ndarray] = {}
    for name, path in paths.items():
        array = read_array(path, "--predictions")
        array = array[:, None] if array.ndim == 3 else array
        expected = clips.speaker.shape
        if array.ndim != 4 or (array.shape[0], *array.shape[2:]) != expected or array.shape[1] == 0:
            raise UserError(
                f"--predictions {path} has shape {array.shape}; with these speakers [N, K, T, C] = "
                f"({expected[0]}, K, {expected[1]}, {expected[2]}) is needed"
            )
        methods[name] = array
    return methods


def check_values(array: Shaped[np.ndarray, "M ..."], name: str, clip_ids: Sequence[str] | None = None) -> None:
    """Reads an array clip by clip, before anything is measured.

    Args:
      array: of several clips.
      name: its flag and file, for the message.
      clip_ids: of the clips; None where they have no names.

    Raises:
      UserError: a clip has values that can't be measured.
    """
    for i, clip in enumerate(array):
        if not is_measurable(clip):
            which = f"clip {i}" if clip_ids is None else f"clip {i} ({clip_ids[i]})"
            raise UserError(f"{name}: {which} has values that are {NOT_MEASURABLE}; remove or repair the clip")


def checksum(array: Shaped[np.ndarray, "..."]) -> str:
    """SHA-256 of an array's type, shape and values, whatever file it came from."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    for part in array:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
