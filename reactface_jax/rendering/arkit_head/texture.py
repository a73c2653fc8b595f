"""Paints a person's skin, brows, lips, hair and eyes onto the head's texture."""

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.rendering.arkit_head.look import Colour, Look
from reactface_jax.rendering.arkit_head.mesh import PLAIN, TEXTURE_BOTTOM, TEXTURE_TOP

SIZE = 512
"""Height of the texture in pixels; it is twice as wide."""

# Curves over the angle around the head (0 = straight ahead, rad) and the height y of the mesh at rest. The hair ends
# above the ears, which stand at 1.2 to 1.9: ears are painted from the same pixels as the skull beside them.
BROW = ((0.11, 0.32, 0.58), (7.515, 7.575, 7.49))
HAIRLINE = (
    (0.0, 0.35, 0.75, 1.0, 1.25, 1.9, 2.1, 3.15),
    (8.02, 8.0, 7.84, 7.66, 7.53, 7.5, 6.75, 6.6),
)
UPPER_LIP = ((0.0, 0.035, 0.1, 0.235), (6.772, 6.788, 6.77, 6.672))
LOWER_LIP = ((0.0, 0.08, 0.16, 0.235), (6.555, 6.565, 6.60, 6.668))
COLLAR = ((0.0, 0.5, 1.0, 3.15), (5.78, 5.86, 5.98, 6.1))

TEETH: Colour = (0.80, 0.77, 0.71)  # the lips' shadow is on them
TONGUE: Colour = (0.66, 0.30, 0.30)
MOUTH: Colour = (0.22, 0.06, 0.06)
SCLERA: Colour = (0.90, 0.89, 0.87)


def paint(look: Look) -> UInt8[np.ndarray, "512 1024 3"]:
    """The texture of one person, top row first. Layout: `mesh.SKIN_WIDTH`, `EYE_BOX`, `PLAIN`."""
    picture = np.zeros((SIZE, 2 * SIZE, 3))
    picture[:, :SIZE] = _skin(look)
    picture[: SIZE // 2, SIZE:] = _eye(look)
    for name, colour in (("teeth", TEETH), ("tongue", TONGUE), ("mouth", MOUTH)):
        column = round(PLAIN[name][0] * 2 * SIZE)
        picture[SIZE // 2 + SIZE // 8 :, column - SIZE // 8 : column + SIZE // 8] = colour
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _skin(look: Look) -> Float[np.ndarray, "512 512 3"]:
    from scipy.interpolate import PchipInterpolator  # takes long, and many import this module for a name in it

    angle = np.linspace(0, np.pi, SIZE)[None, :]
    height = np.linspace(TEXTURE_TOP, TEXTURE_BOTTOM, SIZE)[:, None]

    def curve(points: tuple[tuple[float, ...], tuple[float, ...]]) -> Float[np.ndarray, "1 512"]:
        return np.asarray(PchipInterpolator(*points, extrapolate=False)(np.clip(angle, points[0][0], points[0][-1])))

    skin = np.broadcast_to(np.array(look.skin), (SIZE, SIZE, 3))
    lips = _inside(curve(UPPER_LIP) - height, 0.012) * _inside(height - curve(LOWER_LIP), 0.012) * (angle < 0.235)
    skin = _blend(skin, look.lips, lips)
    thickness = np.interp(angle, (0.08, 0.2, 0.35, 0.62), (0.028, 0.042, 0.034, 0.008))
    brow = _inside(thickness - np.abs(height - curve(BROW)), 0.01) * (angle > 0.1) * (angle < 0.62)
    skin = _blend(skin, look.hair, 0.9 * brow)
    skin = _blend(skin, look.hair, _inside(height - curve(HAIRLINE), 0.03))
    return _blend(skin, look.shirt, _inside(curve(COLLAR) - height, 0.01))


def _eye(look: Look) -> Float[np.ndarray, "256 512 3"]:
    across = np.linspace(-1, 1, SIZE)[None, :]
    up = np.linspace(1, -1, SIZE // 2)[:, None]
    radius = np.hypot(across, up)
    eye = np.broadcast_to(np.array(SCLERA), (SIZE // 2, SIZE, 3))
    eye = _blend(eye, (0.4 * look.iris[0], 0.4 * look.iris[1], 0.4 * look.iris[2]), _inside(0.47 - radius, 0.03))
    eye = _blend(eye, look.iris, _inside(0.41 - radius, 0.03))
    eye = _blend(eye, (0.02, 0.02, 0.02), _inside(0.2 - radius, 0.03))
    return _blend(eye, (1.0, 1.0, 1.0), _inside(0.07 - np.hypot(across - 0.12, up - 0.16), 0.03))


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """1 where the signed distance to an edge is positive, 0 where negative, a ramp of that width between."""
    return np.clip(0.5 + distance / softness, 0.0, 1.0)


def _blend(below: np.ndarray, colour: Colour, amount: np.ndarray) -> np.ndarray:
    return below + amount[..., None] * (np.array(colour) - below)
