"""A reaction in an avatar's terms: ARKit weights by name, and the head's turn and place in a frame with y up.

Coefficients turn the head in the camera's frame (y down, z away from it), where a face that looks into the camera has a
rotation of pi about x. An avatar's frame has x to the person's left, y up and z forwards: the turn there is
Rz(-c) Ry(-b) Rx(a - pi) of the rotations a, b, c.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reactface_jax.answer_files import NAMES_FILE, names_file_of
from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES, POSE_NAMES
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.text_reading import json_from_text, read_text
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, NUM_EXPRESSION

REST_DEPTH = 1.84
"""Translation z of a face at the usual distance."""
METRES = 0.1 / Look().scale
"""In a unit of translation: the unit of the head's mesh is a decimetre, and the default head is drawn at this scale."""


@dataclass(frozen=True)
class Motion:
    """One reaction."""

    weights: Float[np.ndarray, "T 52"]
    """In [0, 1], in the order of `ARKIT_NAMES`."""
    turn: Float[np.ndarray, "T 3"]
    """Angles about x (nod), y (to the person's left) and z (towards the person's right shoulder), rad; applied in the
    order x, y, z."""
    shift: Float[np.ndarray, "T 3"]
    """To the person's left, upwards and forwards, in units of translation."""
    frame_rate: int = FRAME_RATE


def motion(coefficients: Float[np.ndarray, "T 58"], names: Sequence[str]) -> Motion:
    """Sorts raw coefficients (mean_face added) by name; weights are cut to [0, 1].

    Args:
      coefficients: of one reaction.
      names: of the 58 channels, in any order if they are those of `COEFFICIENT_NAMES`. With only 52 names, or a pose
        that is called otherwise, the expressions are the first 52 channels, then come rotation and translation.

    Raises:
      UserError: the names are not the 52 ARKit names.
    """
    names_pose = sorted(names) == sorted(COEFFICIENT_NAMES)
    position = {name: i for i, name in enumerate(names if names_pose else names[:NUM_EXPRESSION])}
    missing = [name for name in ARKIT_NAMES if name not in position]
    if missing:
        raise UserError(
            f"avatars need the {NUM_EXPRESSION} ARKit names of the expression channels, but the data calls them "
            f"{names[0]!r} … (no {missing[0]!r}); give the right {NAMES_FILE} with --names"
        )
    order = [position[name] for name in ARKIT_NAMES]
    pose = [position[name] for name in POSE_NAMES] if names_pose else range(NUM_EXPRESSION, NUM_COEFFICIENTS)
    rotation, translation = np.split(coefficients[:, pose], 2, axis=1)
    return Motion(
        weights=np.clip(coefficients[:, order], 0.0, 1.0).astype(np.float32),
        turn=np.stack([_wrap(rotation[:, 0] - np.pi), -rotation[:, 1], -rotation[:, 2]], 1).astype(np.float32),
        shift=(translation * [1, -1, -1] + [0, 0, REST_DEPTH]).astype(np.float32),
    )


def read_reactions(path: Path) -> Float[np.ndarray, "K T 58"]:
    """Reads the coefficients that `react` wrote; one reaction [T, 58] counts as K = 1.

    Raises:
      UserError: the file is missing, is no array, or holds something else.
    """
    array = read_npy(path, advice="give the .npy that `reactface react` wrote")
    if array.ndim not in (2, 3) or array.shape[-1] != NUM_COEFFICIENTS:
        shape = list(array.shape)
        raise UserError(f"{path} has shape {shape}, not [K, T, {NUM_COEFFICIENTS}] or [T, {NUM_COEFFICIENTS}]")
    if not array.size:
        raise UserError(f"{path} holds no frame; generate the reaction again")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path} has NaN or infinite values in float32; generate the reaction again")
    return array.reshape(-1, *array.shape[-2:])


def find_names(path: Path | None, reactions: Path) -> Path:
    """The file with the channels' names: `path`, or what `react` wrote beside the reactions.

    Raises:
      UserError: there is no such file.
    """
    beside = [names_file_of(reactions), reactions.with_name(NAMES_FILE)]
    found = path or next((each for each in beside if each.is_file()), None)
    if found is None:
        raise UserError(f"there is no {NAMES_FILE} beside {reactions}; give the data's with --names")
    return found


def read_names(path: Path | None, reactions: Path) -> list[str]:
    """Names of the channels, from the file that `find_names` finds.

    Raises:
      UserError: there is no such file, or no list of names in it.
    """
    source = find_names(path, reactions)
    name = str(source) if path is None else f"--names {path}"
    advice = f"give the {NAMES_FILE} of the data, a list of {NUM_EXPRESSION} or {NUM_COEFFICIENTS} names"
    names = json_from_text(read_text(source, name=name, advice=advice), name=name, advice=advice)
    if not isinstance(names, list) or len(names) not in (NUM_EXPRESSION, NUM_COEFFICIENTS):
        raise UserError(f"{name} must be a list of {NUM_EXPRESSION} or {NUM_COEFFICIENTS} names; {advice}")
    return [str(each) for each in names]


def _wrap(angle: np.ndarray) -> np.ndarray:
    """Into [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
