"""The 3-D head as the page draws it: the renderer's mesh, moved by the same 58 coefficients in the viewer's browser."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from reactface_jax.errors import UserError
from reactface_jax.evaluation.page.packing import pack_arrays, quantised, text
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import CENTRE, PIVOT, head_mesh, vertex_normals
from reactface_jax.rendering.arkit_head.renderer import FOCAL_LENGTH, NEUTRAL, rotation_matrix
from reactface_jax.rendering.arkit_head.renderer import channel_order as arkit_order
from reactface_jax.rendering.arkit_head.texture import paint
from reactface_jax.rendering.faceverse import GREY, FaceVerse, channel_order, load_faceverse
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION


@dataclass(frozen=True)
class PageHead:
    """A mesh and what deforms it, in the renderers' space: x right, y down, z away, the camera at z = -10."""

    rest: Float[np.ndarray, "V 3"]
    """Before rotation."""
    deltas: Float[np.ndarray, "52 V 3"]
    """Displacement at full weight of each of the data's expressions, in the data's order."""
    normals: Float[np.ndarray, "V 3"]
    normal_deltas: Float[np.ndarray, "52 V 3"]
    follows: Float[np.ndarray, " V"]
    """1 where a vertex turns with the head, 0 for the shoulders."""
    triangles: Int[np.ndarray, "F 3"]
    coordinates: Float[np.ndarray, "V 2"]
    """Of the texture: u right, v up."""
    texture: UInt8[np.ndarray, "H W 3"]
    shift: Float[np.ndarray, " 3"]
    """Added to the translation."""
    light: tuple[float, float, float]
    """Towards the light."""
    ambient: float
    diffuse: float


def arkit_head(names: Sequence[str], look: Look | None = None) -> PageHead:
    """The project's head. Raises `UserError` if the names of the expressions are not ARKit's."""
    order, look, mesh = arkit_order(names[:NUM_EXPRESSION]), look or Look(), head_mesh()
    stretch = look.scale * np.array([look.width, 1.0, 1.0], np.float32)
    inverse = np.argsort(order)  # from the data's channel to the mesh's shape
    azimuth, elevation = look.light_azimuth, look.light_elevation
    return PageHead(
        rest=(mesh.vertices - PIVOT) * stretch,
        deltas=(mesh.deltas * stretch)[inverse],
        normals=mesh.normals,
        normal_deltas=mesh.normal_deltas[inverse],
        follows=mesh.follows[:, 0],
        triangles=mesh.triangles,
        coordinates=mesh.texture_coordinates,
        texture=paint(look),
        shift=(PIVOT - CENTRE) * stretch @ rotation_matrix(NEUTRAL[52:55]),
        light=(
            float(np.sin(azimuth) * np.cos(elevation)),
            float(-np.sin(elevation)),
            float(-np.cos(azimuth) * np.cos(elevation)),
        ),
        ambient=look.ambient,
        diffuse=look.light_intensity * (1 - 0.5 * look.ambient),
    )


def faceverse_head(model: FaceVerse, names: Sequence[str], source: str) -> PageHead:
    """FaceVerse, for those who hold its file. Raises `UserError` if the data's expressions are not FaceVerse's."""
    rest = model.vertices + model.identity_directions @ model.identity
    deltas = np.moveaxis(model.expression_directions, -1, 0)
    order = np.argsort(channel_order(model, names[:NUM_EXPRESSION], source))
    deltas = np.ascontiguousarray(deltas[order], np.float32)
    normals = vertex_normals(rest, model.triangles)
    return PageHead(
        rest=rest,
        deltas=deltas,
        normals=normals,
        normal_deltas=np.stack([vertex_normals(rest + delta, model.triangles) - normals for delta in deltas]),
        follows=np.ones(len(rest), np.float32),
        triangles=model.triangles,
        coordinates=np.zeros((len(rest), 2), np.float32),
        texture=np.full((1, 1, 3), GREY, np.uint8),
        shift=np.zeros(3, np.float32),
        light=(0.0, 0.0, -1.0),
        ambient=0.1,
        diffuse=0.95,
    )


def head_for(names: Sequence[str], num_channels: int, faceverse: Path | None = None) -> tuple[PageHead | None, str]:
    """The head that can show such coefficients, or none and the reason.

    Args:
      names: of the channels; empty where the data has none.
      num_channels: C.
      faceverse: a converted FaceVerse, whose expressions data without names are taken for.

    Raises:
      UserError: the file can't be read, or its expressions are not the data's.
    """
    if num_channels != NUM_COEFFICIENTS:
        return None, f"Faces are drawn from {NUM_COEFFICIENTS} coefficients; these data have {num_channels} channels."
    names = names or [f"expression_{i:02}" for i in range(num_channels)]
    if faceverse is not None:
        return faceverse_head(load_faceverse(faceverse), names, str(faceverse)), ""
    try:
        return arkit_head(names), ""
    except UserError:
        return None, (
            "The expression channels are not called by ARKit's names, so the 3-D head can't show them: evaluate with "
            "--faceverse, or with --coefficient-names where the data came as arrays."
        )


def pack_head(head: PageHead) -> tuple[str, str]:
    """JSON that describes the head, and its arrays as text."""
    shapes, shape_step = quantised(head.deltas, np.int16, 1023)
    normals, normal_step = quantised(head.normal_deltas, np.int8, 127)
    arrays = {
        "rest": head.rest.astype(np.float32),
        "normals": head.normals.astype(np.float32),
        "coordinates": head.coordinates.astype(np.float32),
        "follows": head.follows.astype(np.float32),
        "shape_step": shape_step,
        "normal_step": normal_step,
        "shapes": shapes,
        "normal_shapes": normals,
        "triangles": head.triangles.astype(np.uint32).reshape(-1),
        "texture": head.texture,
    }
    where, content = pack_arrays(arrays)
    description = {
        "arrays": where,
        "vertices": len(head.rest),
        "shapes": len(head.deltas),
        "texture": list(head.texture.shape[:2]),
        "neutral": [float(x) for x in NEUTRAL[NUM_EXPRESSION:]],
        "focal_length": FOCAL_LENGTH,
        "shift": [float(x) for x in head.shift],
        "light": head.light,
        "ambient": head.ambient,
        "diffuse": head.diffuse,
    }
    return json.dumps(description, separators=(",", ":")), text(content)
