"""iFacialMocap: a line of text a frame over UDP, as VSeeFace, VMagicMirror, Blender and Unity add-ons take it."""

import re

import numpy as np

from reactface_jax.export.motion import METRES
from reactface_jax.live.senders.pose import Pose
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

PORT = 49983
_BREATH = 1e-5
"""Metres by which every other packet's place differs: receivers take identical packets for lost tracking."""


def _name(arkit: str) -> str:
    """`mouthSmileLeft` is `mouthSmile_L`; `jawLeft` and `mouthLeft` are directions and stay."""
    if arkit in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return arkit
    return re.sub("(Left|Right)$", lambda side: f"_{side.group()[0]}", arkit)


_NAMES = tuple(_name(name) for name in ARKIT_NAMES)


class IFacialMocap:
    """Writes frames for one avatar: percent as whole numbers, degrees, metres."""

    def packets(self, pose: Pose) -> list[bytes]:
        shapes = "".join(f"{name}-{round(100 * w)}|" for name, w in zip(_NAMES, pose.weights.tolist(), strict=True))
        degrees = np.degrees(pose.turn)
        place = METRES * pose.shift + [_BREATH * (pose.number % 2), 0, 0]
        head = ",".join(f"{value:.5f}" for value in (*degrees, *place))
        return [f"{shapes}=head#{head}|rightEye#0.0,0.0,0.0|leftEye#0.0,0.0,0.0|".encode()]
