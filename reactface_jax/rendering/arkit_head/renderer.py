"""Draws the 3-D ARKit head from 58 coefficients, without a screen."""

import math
import weakref
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from reactface_jax.errors import UserError
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES, CENTRE, PIVOT, head_mesh
from reactface_jax.rendering.arkit_head.texture import paint
from reactface_jax.rendering.offscreen import check_can_draw, close_window, draw, import_pyvista, place_camera
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

__all__ = ["ARKIT_NAMES", "NEUTRAL", "HeadRenderer", "Look", "rotation_matrix"]

FOCAL_LENGTH = 1315.0 / 224.0
"""In picture heights: FaceVerse's 1315 pixels for its pictures of 224."""
NEUTRAL = np.concatenate([np.zeros(NUM_EXPRESSION), [np.pi, 0, 0], [0, 0, 1.84]]).astype(np.float32)
"""A face at rest, looking into the camera from the usual distance (raw coefficients)."""


def rotation_matrix(angles: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """FaceVerse's R = (Rz Ry Rx)^T, to be applied on the right of row vectors; angles about x, y, z in rad."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).T.astype(np.float32)


class HeadRenderer:
    """A head, its light and its camera, ready to draw one picture per set of coefficients.

    Coefficients are raw (mean_face added): 52 ARKit weights; rotation in rad, about x near pi because the
    camera's y points down (more is a nod); translation x right, y down, z away, usually 1.84. Shoulders stay and
    the neck bends. Vertices are updated in place; light, texture and buffers are reused: a few milliseconds a picture.
    """

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        look: Look | None = None,
        names: Sequence[str] = ARKIT_NAMES,
        samples: int = 1,
    ):
        """Opens the scene.

        Args:
            size: height and width of the pictures.
            look: the person; the default one if not given.
            names: what the 52 expression channels are, in the data's order.
            samples: samples a pixel, a square number; 4 draws at twice the size and averages, which smooths edges.

        Raises:
            UserError: `samples` is not a square number, the names are not the 52 ARKit names, or nothing on this
                machine can draw.
        """
        self._side = math.isqrt(samples)  # of the square of samples that becomes a pixel
        if not samples or self._side**2 != samples:
            raise UserError(f"{samples} samples a pixel are no square; give 1, 4, 9 …")
        self.size = size
        self.look = look or Look()
        self._order = channel_order(names)
        mesh = head_mesh()
        stretch = self.look.scale * np.array([self.look.width, 1.0, 1.0], np.float32)
        # Vertices and normals side by side, so that one product moves both. [2, V, 3] and [52, 2 * V * 3]
        self._rest = np.stack([(mesh.vertices - PIVOT) * stretch, mesh.normals])
        self._deltas = np.stack([mesh.deltas * stretch, mesh.normal_deltas], axis=1).reshape(NUM_EXPRESSION, -1)
        self._follows = mesh.follows
        self._triangles = mesh.triangles
        self._yaw = np.array([0.0, self.look.yaw, 0.0], np.float32)
        self._still = self._rest @ rotation_matrix(NEUTRAL[52:55] + self._yaw)
        self._shift = (PIVOT - CENTRE) * stretch @ rotation_matrix(NEUTRAL[52:55])
        self._shift += np.array([*self.look.offset, 0.0], np.float32)
        self._open_scene()

    def render(self, coefficients: Float[np.ndarray, " C"]) -> UInt8[np.ndarray, "H W 3"]:
        """One picture, RGB. Raises `UserError` if there are not 58 coefficients."""
        self._vertices[:], self._normals[:] = self.pose(coefficients)
        self._surface.GetPoints().Modified()
        self._surface.GetPointData().GetNormals().Modified()
        picture = draw(self._window, self._pixels)
        return picture if self._side == 1 else np.asarray(Image.fromarray(picture).reduce(self._side))

    def pose(self, coefficients: Float[np.ndarray, " C"]) -> Float[np.ndarray, "2 V 3"]:
        """Vertices and normals in front of the camera: x right, y down, z away from it; the camera is at z = -10."""
        coefficients = np.asarray(coefficients, np.float32)
        if coefficients.shape != (NUM_COEFFICIENTS,):
            raise UserError(f"a picture needs {NUM_COEFFICIENTS} coefficients, got shape {coefficients.shape}")
        weights, angles, translation = np.split(coefficients, (NUM_EXPRESSION, NUM_EXPRESSION + 3))
        # Not by BLAS: its threads wait for more work in a busy loop, on the cores that draw.
        moved = np.einsum("w,wn->n", weights[self._order], self._deltas)
        face = self._rest + moved.reshape(self._rest.shape)
        turned = face @ rotation_matrix(angles + self._yaw)
        posed = self._still + self._follows * (turned - self._still)
        posed[0] += self._shift + translation
        return posed

    def close(self) -> None:
        """Frees the window before the garbage collector does."""
        self._finalizer()

    def _open_scene(self) -> None:
        """The window, with everything in it that stays from picture to picture."""
        pyvista = import_pyvista()
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        height, width = (self._side * n for n in self.size)
        look = self.look
        plotter = pyvista.Plotter(off_screen=True, window_size=(width, height), lighting="none")
        check_can_draw(plotter.render_window)
        plotter.render_window.SetMultiSamples(0)
        plotter.set_background(look.background)
        azimuth, elevation = look.light_azimuth, look.light_elevation
        key = (np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation))
        plotter.add_light(pyvista.Light(position=key, intensity=look.light_intensity, light_type="scene light"))

        vertices, normals = self.pose(NEUTRAL)
        surface = pyvista.PolyData.from_regular_faces(vertices, self._triangles)
        surface.point_data.active_normals = normals
        surface.active_texture_coordinates = head_mesh().texture_coordinates
        texture = pyvista.Texture(paint(look))
        texture.interpolate, texture.repeat = True, False
        actor = plotter.add_mesh(
            surface,
            texture=texture,
            ambient=look.ambient,
            diffuse=1.0 - 0.5 * look.ambient,
            culling="back",
            reset_camera=False,
        )
        actor.prop.interpolation = "Gouraud"  # with our normals; `smooth_shading` would make a copy of the mesh
        place_camera(plotter.camera, FOCAL_LENGTH)
        plotter.show(auto_close=False)
        self._window, self._surface = plotter.render_window, surface
        # Also at the interpreter's exit, before the modules go that closing needs.
        self._finalizer = weakref.finalize(self, close_window, plotter)
        self._vertices, self._normals = surface.points, surface.point_data.active_normals
        self._pixels = vtkUnsignedCharArray()


def channel_order(names: Sequence[str]) -> np.ndarray:
    """Where the data keeps each of the head's channels. Raises `UserError` if the names are not the 52 of ARKit."""
    position = {name: index for index, name in enumerate(names)}
    missing = [name for name in ARKIT_NAMES if name not in position]
    if missing or len(names) != NUM_EXPRESSION:
        raise UserError(
            f"the 3-D head needs the {NUM_EXPRESSION} ARKit names of the expression channels, but the data calls "
            f"them {names[0]!r}, {names[1]!r} … (no {missing[0]!r}): give the data's coefficient_names"
            if missing
            else f"the 3-D head needs {NUM_EXPRESSION} names of expression channels, got {len(names)}"
        )
    return np.array([position[name] for name in ARKIT_NAMES])
