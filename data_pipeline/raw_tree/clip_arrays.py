"""The raw tree's numbers: coefficients, attributes, statistics, names; checked as they are used, in float32.

A value may be finite in the file's float64 and infinite in float32, which everything after this uses: so files are
checked after the cast.
"""

import io

import numpy as np
from jaxtyping import Float

from data_pipeline.shards.remote import AnyPath, first_line
from reactface_jax.array_reading import npy_from_bytes
from reactface_jax.errors import UserError
from reactface_jax.text_reading import check_delimiter, json_from_text, text_from_bytes
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

NUM_ATTRIBUTES = 25  # 15 action units, valence, arousal, 8 expressions

_LARGEST = 1e6
"""No face reaches it (rad, or the tree's unit of length), and the squares of smaller numbers stay finite."""


def read_bytes(path: AnyPath) -> bytes:
    """A file's bytes. Raises `UserError` when it can't be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; copy it there") from error
    except Exception as error:  # each kind of storage has its own exceptions
        raise UserError(f"{path} can't be read ({first_line(error)}); copy it again") from error


def read_array(path: AnyPath) -> np.ndarray:
    """Reads an .npy file of numbers. Raises `UserError` when it is none, or holds pickled objects."""
    return npy_from_bytes(read_bytes(path), name=str(path))


def read_coefficients(path: AnyPath) -> Float[np.ndarray, "T 58"]:
    """Reads a clip's 3DMM coefficients, raw: 52 expressions, 3 rotations (rad), 3 translations.

    Raises:
      UserError: it is no array, does not squeeze to [T, 58], or has values that are not finite in float32, or that no
        face reaches.
    """
    array = read_array(path)
    squeezed = array.squeeze()
    if squeezed.ndim == 1:  # a clip of one frame
        squeezed = squeezed[None]
    if squeezed.ndim != 2 or squeezed.shape[1] != NUM_COEFFICIENTS or not len(squeezed):
        raise UserError(
            f"{path} has shape {array.shape}, not [frames, {NUM_COEFFICIENTS}]; extract its coefficients again, or "
            "take its pair out of the csv"
        )
    return finite(squeezed, f"{path}", "extract its coefficients again")


def read_attributes(path: AnyPath) -> Float[np.ndarray, "T 25"]:
    """Reads a clip's 25 attributes, with or without a line of names above them.

    Raises:
      UserError: it is no csv of rows of 25 numbers, or has values that are not finite in float32.
    """
    text = text_from_bytes(read_bytes(path), name=str(path), advice="copy it again")
    check_delimiter(text, name=str(path))
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and _is_header(lines[0]):
        lines = lines[1:]
    if not lines:
        raise UserError(f"{path} has no rows of {NUM_ATTRIBUTES} numbers; copy it again")
    try:
        array = np.loadtxt(io.StringIO("\n".join(lines)), delimiter=",", comments=None, ndmin=2, dtype=np.float64)
    except ValueError as error:
        raise UserError(
            f"{path} is not a header and rows of {NUM_ATTRIBUTES} numbers ({first_line(error)}); copy it again"
        ) from error
    if array.shape[1] != NUM_ATTRIBUTES:
        raise UserError(f"{path} has {array.shape[1]} columns, not {NUM_ATTRIBUTES}; copy it again")
    return finite(array, f"{path}", "measure its attributes again, or remove the file")


def _is_header(line: str) -> bool:
    """Whether a csv's first line names its columns. Numbers are data, but for 0, 1, 2, ..., which pandas writes."""
    try:
        numbers = [float(cell) for cell in line.split(",")]
    except ValueError:
        return True
    return numbers == list(range(len(numbers))) and len(numbers) > 1


def finite(array: np.ndarray, name: str, advice: str) -> Float[np.ndarray, "T C"]:
    """Numbers of frames in float32. Raises `UserError` for the first frame that has an unusable one."""
    with np.errstate(over="ignore"):
        small = array.astype(np.float32)
    wrong = ~(np.abs(small) <= _LARGEST)
    if wrong.any():
        frame, channel = np.argwhere(wrong)[0].tolist()
        what = "values that are not finite" if not np.isfinite(small[frame, channel]) else "values that no face reaches"
        raise UserError(
            f"{name} has {what}, the first in frame {frame}, column {channel}: {array[frame, channel]}; {advice}"
        )
    return small


def read_statistics(root: AnyPath) -> tuple[Float[np.ndarray, "58"], Float[np.ndarray, "58"]] | None:
    """Reads mean_face.npy and std_face.npy; None unless both are there.

    Raises:
      UserError: one of them is not 58 numbers that are finite in float32, or the second has negative ones.
    """
    paths = [root / "mean_face.npy", root / "std_face.npy"]
    if not all(path.is_file() for path in paths):
        return None
    mean, std = (_vector(path) for path in paths)
    if std.min() < 0:
        raise UserError(f"{paths[1]} has negative numbers, which no standard deviation is; compute it again")
    return mean, std


def _vector(path: AnyPath) -> Float[np.ndarray, "58"]:
    array = read_array(path).squeeze()
    if array.shape != (NUM_COEFFICIENTS,):
        raise UserError(f"{path} has shape {array.shape}, not {NUM_COEFFICIENTS} numbers; copy it again")
    return finite(array[None], f"{path}", "copy it again")[0]


def read_coefficient_names(root: AnyPath) -> list[str]:
    """Names of the 58 coefficients: the tree's own, else expression_00 ... and the six of the pose.

    FaceVerse publishes the order of its expressions only in its licensed model file, so names travel with the data.

    Raises:
      UserError: the tree's coefficient_names.json is not a list of 52 or 58 different names.
    """
    pose = [f"{kind}_{axis}" for kind in ("rotation", "translation") for axis in "xyz"]
    path = root / "coefficient_names.json"
    if not path.is_file():
        return [f"expression_{i:02d}" for i in range(NUM_EXPRESSION)] + pose
    advice = f"write a list of {NUM_COEFFICIENTS} names"
    found = json_from_text(text_from_bytes(read_bytes(path), name=str(path)), name=str(path), advice=advice)
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    if isinstance(found, list) and len(names) == len(found) == NUM_EXPRESSION:
        names = names + pose
    if len(set(names)) != NUM_COEFFICIENTS or (isinstance(found, list) and len(found) > NUM_COEFFICIENTS):
        raise UserError(f"{path} must be a list of {NUM_EXPRESSION} or {NUM_COEFFICIENTS} different names")
    return names
