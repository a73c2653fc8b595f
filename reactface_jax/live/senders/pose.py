"""One frame of a reaction, as every protocol takes it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reactface_jax.export.motion import Motion
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES


@dataclass(frozen=True)
class Pose:
    """A face at one moment, in an avatar's terms (`export.motion.Motion`)."""

    number: int
    """Of the frame, from 0."""
    weights: Float[np.ndarray, " 52"]
    """In [0, 1], in the order of `ARKIT_NAMES`."""
    turn: Float[np.ndarray, " 3"]
    """Angles about x (nod, positive down), y (to the person's left), z (to the person's right shoulder), rad."""
    shift: Float[np.ndarray, " 3"]
    """To the person's left, upwards, forwards; in units of translation (`METRES`)."""
    frame_rate: int = 25

    def weight(self, name: str) -> float:
        """Of an ARKit shape, such as `jawOpen`."""
        return float(self.weights[ARKIT_NAMES.index(name)])

    @property
    def quaternion(self) -> Float[np.ndarray, " 4"]:
        """x, y, z, w of the turn Rz Ry Rx, for axes x to the person's left, y up, z forwards."""
        (sx, sy, sz), (cx, cy, cz) = np.sin(self.turn / 2), np.cos(self.turn / 2)
        return np.array(
            [
                cz * cy * sx - sz * sy * cx,
                cz * sy * cx + sz * cy * sx,
                sz * cy * cx - cz * sy * sx,
                cz * cy * cx + sz * sy * sx,
            ]
        )


def pose_of(motion: Motion, frame: int, number: int) -> Pose:
    """Frame `frame` of a motion, as number `number` of what is sent."""
    return Pose(number, motion.weights[frame], motion.turn[frame], motion.shift[frame], motion.frame_rate)
