"""The 3-D head as arrays: vertices, 52 ARKit shapes, texture coordinates and how much each vertex follows the head."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

ASSET = Path(__file__).parents[2] / "assets" / "arkit_head.npz"

# Positions in the model's units (about a decimetre): y up, z towards the viewer, x to the person's left.
PIVOT = np.array([0.0, 6.85, 0.55], np.float32)
"""The head turns about this point, between the ears."""
CENTRE = np.array([0.0, 7.14, 0.55], np.float32)
"""This point is drawn at the origin of the translations."""
TEETH_SCALE = np.array([0.88, 1.0, 1.0], np.float32)
TEETH_SHIFT = np.array([0.0, 0.0, 0.06], np.float32)
"""The asset's teeth stick out through the lips' corners: narrower and further back they don't."""
UPPER_TEETH_RAISED = 0.04
"""The asset's upper teeth end where the lips meet, and would show at the slightest opening."""
LIPS_PRESSED = 0.07
"""Share of `jawOpen` by which the jaw is closed further. The asset's lips touch in a line; soft lips overlap, and part
only when the jaw has moved a little."""
BACK_TEETH = 1.22
"""Teeth further back are left out: in an open mouth they would show as white wedges at its corners."""
BUST_EDGE = 5.56
"""The bust ends at this height: below it the asset ends in a zigzag."""
AXIS_DEPTH = 0.45
"""Depth of the vertical axis around which the skin is unrolled onto the texture."""
TEXTURE_BOTTOM, TEXTURE_TOP = 5.4, 8.45

# The texture, in its own coordinates (u right, v up): the skin in the left half, an eye and plain colours in the right.
SKIN_WIDTH = 0.5
SKIN_EDGE = 0.996
"""Share of it that is used: a pixel at the edge would be mixed with the other half's, a bright line down the back."""
EYE_BOX = (0.5, 0.5, 1.0, 1.0)
"""u and v of the lower left, then of the upper right corner."""
PLAIN = {"teeth": (0.6, 0.1), "tongue": (0.75, 0.1), "mouth": (0.9, 0.1)}


@cache
def arkit_names() -> tuple[str, ...]:
    """The head's 52 expression channels, in the order of its arrays (alphabetical)."""
    with np.load(ASSET, allow_pickle=False) as asset:
        return tuple(str(name) for name in asset["names"])


ARKIT_NAMES = arkit_names()


@dataclass(frozen=True)
class HeadMesh:
    """The head at rest and what deforms it."""

    vertices: Float[np.ndarray, "V 3"]
    deltas: Float[np.ndarray, "52 V 3"]
    """Displacement of all vertices at full weight of each shape, `ARKIT_NAMES` order."""
    normals: Float[np.ndarray, "V 3"]
    normal_deltas: Float[np.ndarray, "52 V 3"]
    """Change of the normals at full weight of each shape: to first order they add up as the vertices do."""
    triangles: Int[np.ndarray, "F 3"]
    texture_coordinates: Float[np.ndarray, "V 2"]
    follows: Float[np.ndarray, "V 1"]
    """1 where a vertex turns with the head, 0 for the shoulders, between along the neck."""


def vertex_normals(vertices: Float[np.ndarray, "V 3"], triangles: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit normals: the sum of the adjacent triangles' normals, weighted by area."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    face = np.cross(b - a, c - a)
    corners = triangles.ravel()
    per_corner = np.repeat(face, 3, axis=0)
    total = np.stack([np.bincount(corners, per_corner[:, axis], minlength=len(vertices)) for axis in range(3)], axis=1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)


@cache
def head_mesh() -> HeadMesh:
    """Loads the head and computes normals, texture coordinates and how far each vertex follows the head."""
    with np.load(ASSET, allow_pickle=False) as asset:
        vertices, deltas = asset["vertices"].astype(np.float32), asset["deltas"].astype(np.float32)
        triangles, group = asset["triangles"].astype(np.int64), asset["group"]
    is_tooth = np.isin(group, ("helper-lower-teeth", "helper-upper-teeth"))
    keep = ~is_tooth | (vertices[triangles][..., 2].mean(axis=1) > BACK_TEETH)
    triangles, group = triangles[keep], group[keep]

    def members(*names: str) -> Int[np.ndarray, " n"]:
        return np.unique(triangles[np.isin(group, names)])

    teeth = members("helper-lower-teeth", "helper-upper-teeth")
    vertices[teeth] = TEETH_SCALE * vertices[teeth] - TEETH_SHIFT
    vertices[members("helper-upper-teeth"), 1] += UPPER_TEETH_RAISED
    vertices -= LIPS_PRESSED * deltas[ARKIT_NAMES.index("jawOpen")]
    below = vertices[:, 1] < BUST_EDGE
    vertices[below, 1] = BUST_EDGE
    keep = ~below[triangles].all(axis=1)
    triangles, group = triangles[keep], group[keep]
    normals = vertex_normals(vertices, triangles)
    normal_deltas = np.stack([vertex_normals(vertices + delta, triangles) - normals for delta in deltas])
    coordinates = _skin_coordinates(vertices)
    mouth = _inside_mouth(vertices, normals)
    mouth[members("helper-lower-teeth", "helper-upper-teeth", "helper-tongue")] = False
    coordinates[mouth] = PLAIN["mouth"]
    coordinates[teeth] = PLAIN["teeth"]
    coordinates[members("helper-tongue")] = PLAIN["tongue"]
    for eye in ("helper-l-eye", "helper-r-eye"):
        coordinates[members(eye)] = _eye_coordinates(vertices[members(eye)])
    border, triangles = _split(triangles, mouth)
    chosen = np.concatenate([np.arange(len(vertices)), border])
    return HeadMesh(
        vertices=vertices[chosen],
        deltas=deltas[:, chosen],
        normals=normals[chosen],
        normal_deltas=normal_deltas[:, chosen],
        triangles=triangles,
        texture_coordinates=np.concatenate([coordinates, np.full((len(border), 2), PLAIN["mouth"], np.float32)]),
        follows=_follows(vertices)[chosen],
    )


def _split(
    triangles: Int[np.ndarray, "F 3"], inside: Bool[np.ndarray, " V"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "F 3"]]:
    """Separates the skin from the inside of the mouth, so that no triangle stretches across the texture between them.

    Returns the outer vertices that triangles on the border need twice, and the triangles, in which the copies are
    numbered after the other vertices.
    """
    corners = inside[triangles]
    mixed = corners.any(axis=1) & ~corners.all(axis=1)
    border = np.unique(triangles[mixed][~corners[mixed]])
    copy = np.arange(len(inside))
    copy[border] = len(inside) + np.arange(len(border))
    parted = triangles.copy()
    parted[mixed] = copy[triangles[mixed]]
    return border, parted


def _skin_coordinates(vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 2"]:
    """Unrolls the skin around a vertical axis. Left and right share one half, so that no seam crosses a triangle."""
    angle = np.abs(np.arctan2(vertices[:, 0], vertices[:, 2] - AXIS_DEPTH)) / np.pi
    height = (vertices[:, 1] - TEXTURE_BOTTOM) / (TEXTURE_TOP - TEXTURE_BOTTOM)
    return np.stack([np.minimum(angle, SKIN_EDGE) * SKIN_WIDTH, np.clip(height, 0.0, 1.0)], axis=1).astype(np.float32)


def _eye_coordinates(eye: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """The eyeball seen from the front, filling its box of the texture."""
    low, high = eye[:, :2].min(axis=0), eye[:, :2].max(axis=0)
    box = np.array(EYE_BOX)
    return box[:2] + (eye[:, :2] - low) / (high - low) * (box[2:] - box[:2])


def _inside_mouth(vertices: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"]) -> Bool[np.ndarray, " V"]:
    """The skin's mesh goes on behind the lips: what faces the middle of the mouth there."""
    from_middle = vertices - np.array([0.0, 6.68, 1.0], np.float32)
    box = (np.abs(from_middle) < np.array([0.45, 0.3, 0.65])).all(axis=1)
    return box & ((from_middle * normals).sum(axis=1) < 0.05 * np.linalg.norm(from_middle, axis=1))


def _follows(vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 1"]:
    """A smooth step along the neck, which leans forward: the chin belongs to the head, the throat half."""
    along = (vertices[:, 1] - 5.75) + 0.45 * (vertices[:, 2] - 0.3)
    step = np.clip((along - 0.1) / 0.7, 0.0, 1.0)
    return (step * step * (3 - 2 * step)).astype(np.float32)[:, None]
