"""JSON by name over a WebSocket: for programs of one's own, such as TouchDesigner, three.js or OBS."""

import json

from reactface_jax.export.motion import METRES
from reactface_jax.live.senders.pose import Pose
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES


class JsonFrames:
    """Writes one object a frame: number, time (s), subject, weights by ARKit name, head turn (rad) and shift (m)."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    def packets(self, pose: Pose) -> list[bytes]:
        frame = {
            "subject": self._subject,
            "frame": pose.number,
            "time": pose.number / pose.frame_rate,
            "weights": {name: round(w, 7) for name, w in zip(ARKIT_NAMES, pose.weights.tolist(), strict=True)},
            "headRotation": [round(angle, 7) for angle in pose.turn.tolist()],
            "headTranslation": [round(METRES * length, 7) for length in pose.shift.tolist()],
        }
        return [json.dumps(frame).encode()]
