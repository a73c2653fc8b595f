"""Drawing without a screen: what the 3-D renderers share of pyvista and VTK."""

from ctypes.util import find_library
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from reactface_jax.errors import UserError

CAMERA_DISTANCE = 10.0


def import_pyvista() -> ModuleType:
    """Imports pyvista, so that it draws without a screen and says nothing about it.

    Raises:
      UserError: it is not installed.
    """
    try:
        import pyvista
    except ImportError:
        raise UserError("drawing the 3-D head needs pyvista: pip install 'reactface-jax[render]'") from None
    from vtkmodules.vtkCommonCore import vtkLogger

    # Without a screen VTK tries X, then EGL, then OSMesa, with a warning for each that is not there.
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    return pyvista


def check_can_draw(window: Any) -> None:
    """Raises `UserError` if there is nothing to draw with: VTK's last resort, OSMesa, crashes where it is missing."""
    if window.GetClassName() == "vtkOSOpenGLRenderWindow" and not find_library("OSMesa"):
        raise UserError(
            "this machine has no OpenGL to draw the 3-D head with: install it, on Debian or Ubuntu with "
            "apt-get install libegl1 libgl1-mesa-dri"
        )


def place_camera(camera: Any, focal_length: float) -> None:
    """At z = -10, looking along z, y down; `focal_length` in picture heights."""
    camera.position, camera.focal_point, camera.up = (0.0, 0.0, -CAMERA_DISTANCE), (0.0, 0.0, 0.0), (0.0, -1.0, 0.0)
    camera.view_angle = 2 * np.degrees(np.arctan(0.5 / focal_length))
    camera.clipping_range = (0.5 * CAMERA_DISTANCE, 2.5 * CAMERA_DISTANCE)


def draw(window: Any, pixels: Any) -> UInt8[np.ndarray, "H W 3"]:
    """Renders a window and reads its picture, RGB, through the reused `vtkUnsignedCharArray` `pixels`."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    window.Render()
    width, height = window.GetSize()
    window.GetPixelData(0, 0, width - 1, height - 1, 0, pixels, 0)
    # OpenGL's first row is the lowest.
    return vtk_to_numpy(pixels).reshape(height, width, 3)[::-1].copy()


def close_window(plotter: Any) -> None:
    """Frees a plotter's window."""
    plotter.close()
    plotter.deep_clean()
