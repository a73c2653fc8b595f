"""The FaceVerse v2 face model for those who hold its file: converted once to .npz, drawn as in the authors' script.

The file, `faceverse_simple_v2.npy`, is a pickled dictionary under a licence of its own and does not ship here. The
conversion keeps what the listener's pictures need: the simplified mesh, 150 identity and 52 expression directions, and
the expressions' names.
"""

import os
import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from reactface_jax.array_reading import read_npy, read_npz
from reactface_jax.errors import UserError
from reactface_jax.files import replacing
from reactface_jax.output_files import check_folder_of
from reactface_jax.pickled_arrays import ArrayUnpickler, HoldsMoreError
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, rotation_matrix
from reactface_jax.rendering.offscreen import check_can_draw, close_window, draw, import_pyvista, place_camera
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

NUM_IDENTITY = 150
FOCAL_PIXELS = 1315.0
"""For every size of the picture: a larger picture shows more of the scene at the same scale."""
GREY = 200
_FORMAT = "faceverse 1"
_MOST_BYTES = 2**29
"""Of all its arrays: 28,000 vertices with 202 directions of float32 are 70 MB."""


@dataclass(frozen=True)
class FaceVerse:
    """The model's mesh at rest and what deforms it."""

    vertices: Float[np.ndarray, "V 3"]
    identity_directions: Float[np.ndarray, "V 3 150"]
    expression_directions: Float[np.ndarray, "V 3 52"]
    triangles: Int[np.ndarray, "F 3"]
    names: tuple[str, ...]
    """Of the 52 expressions."""
    identity: Float[np.ndarray, " 150"]
    """Of the person who is drawn."""

    def face(self, expression: Float[np.ndarray, " 52"]) -> Float[np.ndarray, "V 3"]:
        """meanshape + idBase id + exBase exp."""
        return self.vertices + self.identity_directions @ self.identity + self.expression_directions @ expression


def channel_order(model: FaceVerse, names: Sequence[str], source: str) -> list[int]:
    """Where the data keeps each of the model's expressions. Raises `UserError` if its names are not FaceVerse's."""
    if set(names) == set(model.names):
        return [list(names).index(name) for name in model.names]
    if all(re.fullmatch(r"expression_\d+", name) for name in names):  # data without names is FaceVerse's
        return list(range(NUM_EXPRESSION))
    raise UserError(
        f"{source} can't draw these reactions: the data calls its expressions {names[0]!r} …, "
        f"FaceVerse {model.names[0]!r} …; use --renderer head"
    )


class FaceVerseRenderer:
    """Draws FaceVerse faces from raw coefficients, grey and flat-shaded on black as the authors' script does."""

    def __init__(self, model: FaceVerse, size: int = 224):
        """Opens the scene.

        Raises:
          UserError: nothing on this machine can draw.
        """
        pyvista = import_pyvista()
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        self._neutral = model.vertices + model.identity_directions @ model.identity
        self._directions = model.expression_directions
        plotter = pyvista.Plotter(off_screen=True, window_size=(size, size), lighting="none")
        check_can_draw(plotter.render_window)
        plotter.render_window.SetMultiSamples(0)
        plotter.set_background("black")
        plotter.add_light(pyvista.Light(position=(0, 0, -1), light_type="scene light"))
        self._surface = pyvista.PolyData.from_regular_faces(self.pose(NEUTRAL), model.triangles)
        grey = (GREY / 255,) * 3
        actor = plotter.add_mesh(self._surface, color=grey, ambient=0.1, diffuse=0.95, reset_camera=False)
        actor.prop.interpolation = "Flat"
        place_camera(plotter.camera, FOCAL_PIXELS / (2 * (size // 2)))
        plotter.show(auto_close=False)
        self._window, self._vertices = plotter.render_window, self._surface.points
        self._finalizer = weakref.finalize(self, close_window, plotter)
        self._pixels = vtkUnsignedCharArray()

    def render(self, coefficients: Float[np.ndarray, " C"]) -> UInt8[np.ndarray, "H W 3"]:
        """One picture, RGB. Raises `UserError` if there are not 58 coefficients."""
        self._vertices[:] = self.pose(coefficients)
        self._surface.GetPoints().Modified()
        return draw(self._window, self._pixels)

    def pose(self, coefficients: Float[np.ndarray, " C"]) -> Float[np.ndarray, "V 3"]:
        """Vertices in front of the camera, which is at z = -10: v R + t."""
        coefficients = np.asarray(coefficients, np.float32)
        if coefficients.shape != (NUM_COEFFICIENTS,):
            raise UserError(f"a picture needs {NUM_COEFFICIENTS} coefficients, got shape {coefficients.shape}")
        expression, angles, translation = np.split(coefficients, (NUM_EXPRESSION, NUM_EXPRESSION + 3))
        face = self._neutral + self._directions @ expression
        return (face @ rotation_matrix(angles) + translation).astype(np.float32)

    def close(self) -> None:
        """Frees the window before the garbage collector does."""
        self._finalizer()


def convert_faceverse(
    source: Path, out: Path, *, trust_pickle: bool = False, identity: Path | None = None
) -> FaceVerse:
    """Converts the model's file to .npz.

    Args:
      source: the pickled dictionary, with or without the `_select` forms of the simplified mesh.
      out: the .npz to write; must not exist.
      trust_pickle: the file is a pickle. Nothing but numpy's arrays is unpickled even so.
      identity: .npy whose first 150 numbers are the person's (the authors' `reference_full.npy`); the mean otherwise.

    Raises:
      UserError: the flag is missing, a file is missing or is not of that form, or `out` is there already. Nothing is
        written then.
    """
    if out.suffix != ".npz":
        raise UserError(f"--out {out} must end in .npz")
    if os.path.lexists(out):
        raise UserError(f"{out} already exists; remove it, or give another --out")
    check_folder_of(out)
    if not source.is_file():
        raise UserError(f"{source} does not exist; give the faceverse_simple_v2.npy that its authors sent")
    if not trust_pickle:
        raise UserError(f"{source} is a pickle, which may hold code; if its source is trusted, add --trust-pickle")
    model = _from_dictionary(_read_pickle(source), source, _read_identity(identity))
    with replacing(out) as file:
        np.savez(
            file,
            format=_FORMAT,
            vertices=model.vertices,
            identity_directions=model.identity_directions,
            expression_directions=model.expression_directions,
            triangles=model.triangles,
            names=np.array(model.names),
            identity=model.identity,
        )
    return model


def load_faceverse(path: Path) -> FaceVerse:
    """Reads what `convert_faceverse` wrote.

    Raises:
      UserError: the file is missing or something else, such as the pickle itself.
    """
    advice = "give the .npz that `reactface convert faceverse` wrote"
    arrays: dict[str, Any] = read_npz(path, most_bytes=_MOST_BYTES, advice=advice)
    if str(arrays.pop("format", _FORMAT)) != _FORMAT:
        raise UserError(f"{path} was written by another version; convert the model again")
    try:
        return FaceVerse(**arrays | {"names": tuple(map(str, arrays["names"]))})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no converted FaceVerse model; {advice}") from error


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            _, _, dtype = read_header[version](file)
            if not dtype.hasobject:
                raise UserError(f"{path} holds an array of numbers, not the model's dictionary")
            content = ArrayUnpickler(file, encoding="latin1").load()
        content = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
    except HoldsMoreError as error:
        raise UserError(f"{path} holds more than arrays ({error}), so it is not read; get the authors' file") from error
    except UserError:
        raise
    except Exception as error:  # damaged bytes can raise anything
        raise UserError(f"{path} is no .npy file, or is cut off; copy it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, not the model's dictionary")
    return content


def _from_dictionary(content: dict[str, Any], path: Path, identity: np.ndarray) -> FaceVerse:
    select = "tri_select" in content or "select_id" in content
    if select and "select_id" not in content:
        raise UserError(f"{path} has tri_select and no select_id; get the authors' file")
    chosen = np.asarray(content.get("select_id", [])).reshape(-1)

    def take(name: str, *shape: int) -> np.ndarray:
        """The simplified form if there is one, else the whole mesh's, cut to the selected vertices."""
        key = f"{name}_select" if select and f"{name}_select" in content else name
        if key not in content:
            raise UserError(
                f"{path} is no FaceVerse model: it has no {key!r}; its keys are {', '.join(list(content)[:8])}"
            )
        try:
            array = np.asarray(content[key]).reshape(shape)
        except ValueError as error:
            raise UserError(f"{path}: {key} has shape {np.shape(content[key])}, which is not FaceVerse's") from error
        if key == name and select and name != "tri":
            if not np.isin(chosen, np.arange(len(array))).all():
                raise UserError(f"{path}: select_id names vertices that {name} does not have")
            array = array[chosen]
        return array

    vertices = take("meanshape", -1, 3).astype(np.float32)
    triangles = take("tri", -1, 3).astype(np.int64)
    names = [str(name) for name in content.get("exp_name_list", [])]
    if len(names) != NUM_EXPRESSION:
        raise UserError(f"{path}: exp_name_list has {len(names)} names, not {NUM_EXPRESSION}")
    if not len(triangles):
        raise UserError(f"{path} has no triangles; get the authors' file")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise UserError(f"{path}: its triangles name vertex {triangles.max()}, but there are {len(vertices)}")
    identity_directions = take("idBase", -1, 3, NUM_IDENTITY).astype(np.float32)
    expression_directions = take("exBase", -1, 3, NUM_EXPRESSION).astype(np.float32)
    if not len(vertices) == len(identity_directions) == len(expression_directions):
        raise UserError(f"{path}: meanshape, idBase and exBase are of different numbers of vertices")
    return FaceVerse(vertices, identity_directions, expression_directions, triangles, tuple(names), identity)


def _read_identity(path: Path | None) -> Float[np.ndarray, " 150"]:
    if path is None:
        return np.zeros(NUM_IDENTITY, np.float32)
    array = read_npy(path, name=f"--identity {path}", advice="give the authors' reference_full.npy")
    numbers = array.reshape(-1)[:NUM_IDENTITY].astype(np.float32)
    if len(numbers) < NUM_IDENTITY:
        raise UserError(f"--identity {path} holds {len(numbers)} numbers, but the identity has {NUM_IDENTITY}")
    return numbers
