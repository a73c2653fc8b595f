"""MediaPipe's 4x4 matrix of a face in a crop → rotation and translation in the units and signs of the coefficients.

The coefficients' camera (FaceVerse's) has x right, y down, z away from it, a focal length of 1315/224 picture heights
and stands 10 units in front of the origin; the head is turned by Rz Ry Rx, where a pi about x turns the face's y and z
round.

Rotation: MediaPipe's camera has y up and z towards the camera, so R = diag(1, -1, -1) R_mediapipe.

Translation: MediaPipe takes every picture for one with an angle of view of 63 degrees, so it puts a face that fills the
crop 25 cm before its camera; ours stands far away. What both see is the same: the face's place and size. So the matrix
is projected at the depth of the face's surface, and the result is placed before our camera. The head turns about a
point between the ears, behind and below the origin of MediaPipe's model; that point is what the translation moves.

The constants are fitted to faces of this project's 3-D head, drawn with known coefficients: `python
benchmarks/head_pose.py` draws others and prints how well their pose is found again.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from reactface_jax.rendering.arkit_head.renderer import FOCAL_LENGTH
from reactface_jax.rendering.offscreen import CAMERA_DISTANCE

_FLIP = np.diag([1.0, -1.0, -1.0])
_VIEW = 2 * np.tan(np.radians(63) / 2)
"""Height of MediaPipe's picture, in depths."""
_SURFACE = 2.2
"""How far the face's surface lies before the model's origin (cm)."""
_PIVOT = np.array([0.0, -2.5, -6.0])
"""What the head turns about, in MediaPipe's model of a face (cm)."""
_UNIT = 14.8
"""Centimetres of MediaPipe's model in a unit of translation."""
_REST = np.array([0.0, 0.185])
"""Where the pivot of a head without translation is seen, right of and below the crop's centre (units)."""


def head_pose(matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "6"]:
    """Rotation about x (in [0, 2 pi), near pi), y and z in rad, then translation x, y and z.

    Args:
      matrix: of a face in a square picture, as `face.MeasuredFace` has it.
    """
    turn, place = matrix[:3, :3].astype(np.float64), matrix[:3, 3].astype(np.float64)
    angles = Rotation.from_matrix(_FLIP @ turn).as_euler("ZYX")[::-1]
    size = 1 / (_VIEW * (-place[2] - _SURFACE))  # picture heights a centimetre
    seen = size * (_FLIP @ (turn @ _PIVOT + place))[:2]  # from the picture's centre, right and down, picture heights
    unit = size * _UNIT
    x, y = seen / unit - _REST
    return np.array([angles[0] % (2 * np.pi), *angles[1:], x, y, FOCAL_LENGTH / unit - CAMERA_DISTANCE], np.float32)
