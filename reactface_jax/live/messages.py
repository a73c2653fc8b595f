"""What travels between page and program over the WebSocket; docs/live.md has it for programs of one's own.

To the program: a byte `F` and a JPEG, or `A` and 16-bit samples at 16 kHz (little-endian), each after a big-endian f64,
the page's time in seconds; or JSON: a face that was measured where the camera is, or settings. To the page: chunks of
faces, or JSON with a status.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES, POSE_NAMES
from reactface_jax.extraction.head_pose import head_pose
from reactface_jax.live.session import Answer, Settings
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.types import NUM_EXPRESSION

MOST_REACTIONS = 4
LARGEST = 2**20
"""Bytes of a message."""
_SETTINGS = ("amplitude", "smile", "nod", "seed", "chosen", "paused", "hears", "reset")
_LARGEST_NUMBER = float(np.finfo(np.float32).max)
_OPTIONAL = {"tongueOut", *POSE_NAMES}
"""Coefficients that a tracker need not know: MediaPipe has no tongue."""


def read_media(message: bytes) -> tuple[str, float, bytes]:
    """Kind, time and content of a message. Raises `UserError` for another form."""
    if len(message) < 10 or message[:1] not in (b"F", b"A"):
        raise UserError("a message is F or A, a time and its content")
    (time,) = struct.unpack(">d", message[1:9])
    if not math.isfinite(time):
        raise UserError("a message's time is a finite number of seconds")
    return message[:1].decode(), time, message[9:]


def samples_of(content: bytes) -> Float[np.ndarray, " n"]:
    """Sound in [-1, 1]."""
    return np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.float32) / 32768


def read_text(message: str) -> Mapping[str, Any]:
    """The object in a text message. Raises `UserError` where there is none."""
    try:
        given = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise UserError("a text message is JSON") from error
    if not isinstance(given, dict):
        raise UserError("a text message is a JSON object")
    return given


def read_face(given: Mapping[str, Any]) -> tuple[float, Float[np.ndarray, "58"] | None]:
    """Time (s) and coefficients of a measured face, `{"time": …, "face": {name: value} or null, "matrix": [16]}`.

    `face` has the ARKit weights by name (a missing tongueOut is 0), and all six of the pose or none of them. `matrix`
    is MediaPipe's facial transformation matrix, columns first, of which the rotation counts. Without either the head
    is still.

    Raises:
      UserError: what is given is of another form.
    """
    time, face, matrix = given.get("time"), given["face"], given.get("matrix")
    if not _is_number(time):
        raise UserError("a face's time is a finite number of seconds")
    assert isinstance(time, int | float)
    if face is None:
        return float(time), None
    if not isinstance(face, dict) or not all(map(_is_number, face.values())):
        raise UserError("face is an object of names and finite numbers, or null")
    if unknown := face.keys() - set(COEFFICIENT_NAMES):
        raise UserError(f"face has {min(unknown)!r}, which is no coefficient; names are ARKit's, such as jawOpen")
    if missing := [name for name in COEFFICIENT_NAMES if name not in face and name not in _OPTIONAL]:
        raise UserError(f"face lacks {missing[0]!r}; give all ARKit weights")
    posed = [name for name in POSE_NAMES if name in face]
    if posed and len(posed) < len(POSE_NAMES):
        raise UserError(f"face has {posed[0]!r} but not the whole pose; give {', '.join(POSE_NAMES)}, or none of them")
    values = np.array([face.get(name, 0.0) for name in COEFFICIENT_NAMES], np.float32)
    values[:NUM_EXPRESSION] = np.clip(values[:NUM_EXPRESSION], 0, 1)
    if not posed:
        values[NUM_EXPRESSION:] = NEUTRAL[NUM_EXPRESSION:]
        if matrix is not None:
            values[NUM_EXPRESSION : NUM_EXPRESSION + 3] = _turn(matrix)
    return float(time), values


def _turn(matrix: object) -> Float[np.ndarray, "3"]:
    """Of a 4 x 4 matrix, columns first."""
    if not isinstance(matrix, list) or len(matrix) != 16 or not all(map(_is_number, matrix)):
        raise UserError("matrix is 16 finite numbers, columns first")
    columns = np.array(matrix, np.float64).reshape(4, 4).T
    if not 0.1 < np.linalg.det(columns[:3, :3]) < 10:
        raise UserError("matrix holds no rotation")
    return head_pose(np.vstack([columns[:3], [0, 0, 0, 1]]))[:3]


def _is_number(value: object) -> bool:
    """Whether it is a number that float32 holds; JSON's may be longer."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER


def read_settings(given: Mapping[str, Any], now: Settings) -> tuple[Settings, bool]:
    """Settings after a message, and whether a new conversation is wanted. Raises `UserError` for what does not fit."""
    if unknown := given.keys() - set(_SETTINGS):
        raise UserError(f"{min(unknown)!r} is no setting; there are {', '.join(_SETTINGS)}")

    def number(name: str, old: float | int, low: float | int, high: float | int) -> float | int:
        value = given.get(name, old)
        if not _is_number(value) or not low <= value <= high:
            raise UserError(f"{name} is a number from {low:g} to {high:g}")
        return float(value) if isinstance(old, float) else int(value)

    control = now.control._replace(
        amplitude=number("amplitude", float(now.control.amplitude), 0, 1.5),
        smiles=number("smile", float(now.control.smiles), -1, 1),
        nods=number("nod", float(now.control.nods), -1, 1),
    )
    settings = replace(
        now,
        control=control,
        chosen=int(number("chosen", now.chosen, 0, MOST_REACTIONS - 1)),
        seed=int(number("seed", now.seed, 0, 2**31 - 1)),
        paused=bool(given.get("paused", now.paused)),
        hears=bool(given.get("hears", now.hears)),
    )
    return settings, bool(given.get("reset", False))


def pack_answer(answer: Answer) -> bytes:
    """Number of the first frame, time of the newest piece behind it, K, frames, pictures left out so far (u16, at most
    65,535); then the speaker's coefficients (0 where lost) and those of all reactions, little-endian f32."""
    count, width = answer.reactions.shape[:2]
    left_out = min(answer.left_out, 0xFFFF)
    head = struct.pack(">IdBBH", answer.chunk.number, answer.chunk.end, count, width, left_out)
    values = np.concatenate([np.nan_to_num(answer.chunk.faces)[None], answer.reactions]).astype("<f4")
    return head + values.tobytes()
