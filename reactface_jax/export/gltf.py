"""glTF 2.0 of the 3-D head: its 52 shapes as morph targets, the head as a joint, and a reaction as their animation.

One binary file (.glb) with the picture on the skin inside; Blender and three.js open it. The neck bends as in the drawn
head: each vertex follows the head's joint by its weight. The format is a JSON header and one buffer, written here:
pygltflib would add five packages and leave the buffer views and accessors to us.
"""

import io
import json
import struct

import numpy as np
from PIL import Image

from reactface_jax.export.motion import Motion
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES, PIVOT, head_mesh
from reactface_jax.rendering.arkit_head.texture import paint

_FLOAT, _UNSIGNED_BYTE, _UNSIGNED_SHORT = 5126, 5121, 5123
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for
_METRE = 0.1  # the head's unit of length is about a decimetre


class _Buffer:
    """The binary part, with the accessors that point into it."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.views: list[dict[str, object]] = []
        self.accessors: list[dict[str, object]] = []

    def view(self, content: bytes, target: int | None = None) -> int:
        self.bytes += b"\0" * (-len(self.bytes) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(content)})
        if target is not None:
            self.views[-1]["target"] = target
        self.bytes += content
        return len(self.views) - 1

    def add(
        self, array: np.ndarray, kind: str, component: int = _FLOAT, target: int | None = None, *, bounds: bool = False
    ) -> int:
        """Adds an array with its accessor.

        Args:
          array: of the component's type, an element a row.
          kind: what an element is: SCALAR, VEC2 … MAT4.
          component: glTF's number of the type of its numbers.
          target: glTF's number of what the array is used for; None: nothing that is drawn.
          bounds: whether the accessor says the smallest and largest values.

        Returns:
          The accessor's number.
        """
        accessor: dict[str, object] = {
            "bufferView": self.view(np.ascontiguousarray(array).tobytes(), target),
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if bounds:
            flat = array.reshape(len(array), -1)
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_sparse(self, array: np.ndarray) -> int:
        """As `add` with bounds, of vectors of three floats, most of which are zero: only the others are stored."""
        array = np.asarray(array, np.float32)
        where = np.flatnonzero(array.any(axis=1))
        accessor: dict[str, object] = {
            "componentType": _FLOAT,
            "count": len(array),
            "type": "VEC3",
            "min": array.min(0).tolist(),
            "max": array.max(0).tolist(),
        }
        if len(where):  # an accessor without any value is all zeros
            accessor["sparse"] = {
                "count": len(where),
                "indices": {
                    "bufferView": self.view(where.astype(np.uint16).tobytes()),
                    "componentType": _UNSIGNED_SHORT,
                },
                "values": {"bufferView": self.view(array[where].tobytes())},
            }
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def glb(motion: Motion, look: Look | None = None) -> bytes:
    """The file's bytes. Lengths are in metres, y is up, the face looks along z."""
    look = look or Look()
    buffer = _Buffer()
    mesh = _mesh(buffer, look)
    pivot = (_METRE * PIVOT).tolist()
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    inverse_bind[1, 3, :3] = -_METRE * PIVOT  # columns first
    picture = io.BytesIO()
    Image.fromarray(paint(look)).save(picture, "PNG")
    description: dict[str, object] = {
        "asset": {"version": "2.0", "generator": "reactface-jax"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [
            {"name": "body", "children": [2]},
            {"name": "face", "mesh": 0, "skin": 0},
            {"name": "head", "translation": pivot},
        ],
        "meshes": [mesh],
        "skins": [{"joints": [0, 2], "inverseBindMatrices": buffer.add(inverse_bind, "MAT4")}],
        "materials": [
            {
                "name": "face",
                "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 0.7},
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9729, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": buffer.view(picture.getvalue()), "mimeType": "image/png"}],
        "animations": [_animation(buffer, motion, look)],
    }
    description |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.bytes) + -len(buffer.bytes) % 4}],
    }
    return _pack(json.dumps(description, separators=(",", ":")).encode(), bytes(buffer.bytes))


def _mesh(buffer: _Buffer, look: Look) -> dict[str, object]:
    head = head_mesh()
    stretch = np.array([look.width, 1.0, 1.0], np.float32)
    vertices = _METRE * ((head.vertices - PIVOT) * stretch + PIVOT)
    coordinates = head.texture_coordinates * [1, -1] + [0, 1]  # glTF counts from the top
    follows = np.zeros((len(vertices), 4), np.float32)
    follows[:, 1:2] = head.follows
    follows[:, 0] = 1 - follows[:, 1]
    joints = np.zeros((len(vertices), 4), np.uint8)
    joints[:, 1] = np.where(follows[:, 1] > 0, 1, 0)  # a joint without weight must be 0
    primitive = {
        "attributes": {
            "POSITION": buffer.add(vertices.astype(np.float32), "VEC3", target=_VERTICES, bounds=True),
            "NORMAL": buffer.add(_unit(head.normals), "VEC3", target=_VERTICES),
            "TEXCOORD_0": buffer.add(coordinates.astype(np.float32), "VEC2", target=_VERTICES),
            "JOINTS_0": buffer.add(joints, "VEC4", _UNSIGNED_BYTE, _VERTICES),
            "WEIGHTS_0": buffer.add(follows, "VEC4", target=_VERTICES),
        },
        "indices": buffer.add(head.triangles.reshape(-1).astype(np.uint16), "SCALAR", _UNSIGNED_SHORT, _INDICES),
        "material": 0,
        "targets": [
            {
                "POSITION": buffer.add_sparse(_METRE * delta * stretch),
                "NORMAL": buffer.add_sparse(normal_delta),
            }
            for delta, normal_delta in zip(head.deltas, head.normal_deltas, strict=True)
        ],
    }
    # Where viewers and Blender look for the targets' names.
    names = {"targetNames": list(ARKIT_NAMES)}
    return {"name": "face", "primitives": [primitive], "weights": [0.0] * len(ARKIT_NAMES), "extras": names}


def _animation(buffer: _Buffer, motion: Motion, look: Look) -> dict[str, object]:
    times = (np.arange(len(motion.weights)) / motion.frame_rate).astype(np.float32)
    values = [
        (1, "weights", buffer.add(motion.weights.reshape(-1), "SCALAR")),
        (2, "rotation", buffer.add(_quaternions(motion.turn), "VEC4")),
        (0, "translation", buffer.add((_METRE / look.scale * motion.shift).astype(np.float32), "VEC3")),
    ]
    clock = buffer.add(times, "SCALAR", bounds=True)
    return {
        "name": "reaction",
        "samplers": [{"input": clock, "output": output, "interpolation": "LINEAR"} for *_, output in values],
        "channels": [
            {"sampler": i, "target": {"node": node, "path": path}} for i, (node, path, _) in enumerate(values)
        ],
    }


def _quaternions(turn: np.ndarray) -> np.ndarray:
    """x, y, z, w of Rz Ry Rx, with signs that never jump from frame to frame."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(turn.T / 2), np.cos(turn.T / 2)
    x = cz * cy * sx - sz * sy * cx
    y = cz * sy * cx + sz * cy * sx
    z = sz * cy * cx - cz * sy * sx
    w = cz * cy * cx + sz * sy * sx
    quaternion = np.stack([x, y, z, w], axis=1)
    steps = np.where((quaternion[1:] * quaternion[:-1]).sum(1) < 0, -1, 1)
    return _unit(quaternion * np.cumprod(np.concatenate([[1], steps]))[:, None])


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), np.eye(vectors.shape[1])[-1])
    return unit.astype(np.float32)


def _pack(text: bytes, binary: bytes) -> bytes:
    """The two chunks of a .glb, each filled up to four bytes."""
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, total)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return header + chunks
