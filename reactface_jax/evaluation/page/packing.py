"""Arrays as text inside a page: quantised, compressed and in base64. template/data.js reads them back."""

import base64
import gzip
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

LEVELS = 4095
"""Steps between a channel's lowest and highest value in a clip: finer than a picture or a curve can show."""


class Track(NamedTuple):
    """Coefficients of one face in a clip."""

    kind: str
    """speaker, listener, neighbour or reaction."""
    label: str
    values: Float[np.ndarray, "T C"]
    method: str = ""
    """Of a reaction."""
    stride: int = 1
    """Every so many frames are kept."""


def text(content: bytes) -> str:
    """Base64 of the compressed bytes."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def pack_tracks(tracks: Sequence[Track]) -> tuple[dict[str, Any], bytes]:
    """What describes some tracks, and their bytes.

    A channel has one scale in all tracks. A value is its difference from the frame before, made positive (0, -1, 1, -2
    become 0, 1, 2, 3), channel after channel, low bytes before high ones: smooth motion then compresses well.
    """
    kept = [np.asarray(track.values[:: track.stride], np.float64) for track in tracks]
    lowest = np.min([x.min(0) for x in kept], axis=0)
    step = (np.max([x.max(0) for x in kept], axis=0) - lowest) / LEVELS
    packed = b"".join(_pack(np.round((x - lowest) / np.where(step > 0, step, 1)).astype(np.int32)) for x in kept)
    description = {
        "lowest": [_short(x) for x in lowest],
        "step": [_short(x) for x in step],
        "tracks": [
            {
                "kind": track.kind,
                "label": track.label,
                "method": track.method,
                "stride": track.stride,
                "frames": len(x),
            }
            for track, x in zip(tracks, kept, strict=True)
        ],
    }
    return description, packed


def _pack(levels: Int[np.ndarray, "T C"]) -> bytes:
    difference = np.diff(levels, axis=0, prepend=np.zeros_like(levels[:1])).T
    positive = np.where(difference >= 0, 2 * difference, -2 * difference - 1).astype(np.uint16)
    return (positive & 255).astype(np.uint8).tobytes() + (positive >> 8).astype(np.uint8).tobytes()


def pack_arrays(arrays: dict[str, Shaped[np.ndarray, "..."]]) -> tuple[dict[str, Any], bytes]:
    """Arrays side by side, each at a multiple of 4 bytes, and where they lie."""
    where, content = {}, bytearray()
    for name, array in arrays.items():
        content += b"\0" * (-len(content) % 4)
        where[name] = {"type": array.dtype.name, "offset": len(content), "length": int(array.size)}
        content += np.ascontiguousarray(array).tobytes()
    return where, bytes(content)


def quantised(
    array: Float[np.ndarray, "A ..."], kind: type[np.signedinteger[Any]], levels: int
) -> tuple[Int[np.ndarray, "A ..."], Float[np.ndarray, " A"]]:
    """Integers of at most `levels` either way, and the length of a step for each row."""
    step = np.abs(array.reshape(len(array), -1)).max(1) / levels
    step = np.where(step > 0, step, 1).astype(np.float32)
    return np.round(array / step.reshape(-1, *(1,) * (array.ndim - 1))).astype(kind), step


def _short(x: float) -> float:
    return float(f"{x:.6g}")


def unpack_tracks(description: Mapping[str, Any], packed: str, channels: int) -> list[Track]:
    """What `pack_tracks` packed, from its description and from its bytes as `text`, to half a step.

    Raises:
      ValueError: the bytes are damaged, or do not fit the description.
      KeyError, OSError, EOFError: likewise.
    """
    content = np.frombuffer(gzip.decompress(base64.b64decode(packed)), np.uint8).astype(np.int32)
    lowest, step = np.asarray(description["lowest"]), np.asarray(description["step"])
    tracks, at = [], 0
    for each in description["tracks"]:
        size = each["frames"] * channels
        low, high = content[at : at + 2 * size].reshape(2, channels, each["frames"])
        at += 2 * size
        positive = low + 256 * high
        difference = np.where(positive & 1, -(positive + 1) // 2, positive // 2)
        values = (lowest + difference.cumsum(1).T * step).astype(np.float32)
        tracks.append(Track(each["kind"], each["label"], values, each["method"], each["stride"]))
    return tracks
