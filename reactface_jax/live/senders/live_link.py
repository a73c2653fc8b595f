"""Live Link Face, version 6: Unreal Engine's ARKit stream over UDP, big-endian.

Form: u8 6 | i32 length, device id | i32 length, subject | i32 frame, f32 subframe | i32 rate, i32 denominator | u8 61 |
61 x f32: 52 shapes in ARKit's order, then yaw, pitch, roll of head, left eye and right eye.
"""

import struct
import uuid

import numpy as np

from reactface_jax.live.senders.pose import Pose
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

PORT = 11111
SHAPES = (
    *(
        f"eye{what}{side}"
        for side in ("Left", "Right")
        for what in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
    ),
    *("jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft"),
    "mouthRight",
    *(f"mouth{what}{side}" for what in ("Smile", "Frown", "Dimple", "Stretch") for side in ("Left", "Right")),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *(f"mouth{what}{side}" for what in ("Press", "LowerDown", "UpperUp") for side in ("Left", "Right")),
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""ARKit's own order, which is that of the packet (a take's csv has another)."""
HEAD_SIGNS = (-1.0, 1.0, 1.0)
"""Of yaw, pitch and roll against `Pose.turn`: yaw to the person's right and pitch down, as public takes of the app have
the eyes' angles. Nothing public shows the head's own signs."""
_ORDER = [ARKIT_NAMES.index(name) for name in SHAPES]
_DEVICE = uuid.uuid5(uuid.NAMESPACE_URL, "reactface_jax")


class LiveLink:
    """Writes packets for one subject."""

    def __init__(self, subject: str) -> None:
        device, name = str(_DEVICE).upper().encode(), subject.encode()
        self._header = struct.pack(f">Bi{len(device)}si{len(name)}s", 6, len(device), device, len(name), name)

    def packets(self, pose: Pose) -> list[bytes]:
        head = pose.turn[[1, 0, 2]] * HEAD_SIGNS
        values = [*pose.weights[_ORDER], *head, *np.zeros(6)]  # the look shapes move the eyes
        time = struct.pack(">ifii", pose.number, 0.0, pose.frame_rate, 1)
        return [self._header + time + struct.pack(f">B{len(values)}f", len(values), *values)]
