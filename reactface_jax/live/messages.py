"""What travels between page and program over the WebSocket.

To the program: a byte `F` and a JPEG, or `A` and 16-bit samples at 16 kHz (little-endian), each after a big-endian f64,
the page's time in seconds; or JSON with settings. To the page: chunks of faces, or JSON with a status.
"""

import json
import math
import struct
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.live.session import Answer, Settings

MOST_REACTIONS = 4
LARGEST = 2**20
"""Bytes of a message."""


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


def read_settings(message: str, now: Settings) -> tuple[Settings, bool]:
    """Settings after a message, and whether a new conversation is wanted. Raises `UserError` for what does not fit."""
    try:
        given = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise UserError("settings are JSON") from error
    if not isinstance(given, dict):
        raise UserError("settings are a JSON object")

    def number(name: str, old: float | int, low: float | int, high: float | int) -> float | int:
        value = given.get(name, old)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UserError(f"{name} is a number from {low:g} to {high:g}")
        return value

    control = now.control._replace(
        amplitude=number("amplitude", now.control.amplitude, 0, 1.5),
        smiles=number("smile", now.control.smiles, -1, 1),
        nods=number("nod", now.control.nods, -1, 1),
    )
    settings = replace(
        now,
        control=control,
        reactions=int(number("reactions", now.reactions, 1, MOST_REACTIONS)),
        seed=int(number("seed", now.seed, 0, 2**31 - 1)),
        paused=bool(given.get("paused", now.paused)),
        hears=bool(given.get("hears", now.hears)),
    )
    return settings, bool(given.get("reset", False))


def pack_answer(answer: Answer) -> bytes:
    """Number of the first frame, time of the newest piece behind it, K, frames, two zeros; then the speaker's
    coefficients (0 where lost) and those of all reactions, little-endian f32."""
    count, width = answer.reactions.shape[:2]
    head = struct.pack(">IdBBxx", answer.chunk.number, answer.chunk.end, count, width)
    values = np.concatenate([np.nan_to_num(answer.speaker)[None], answer.reactions]).astype("<f4")
    return head + values.tobytes()
