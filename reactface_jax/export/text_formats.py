"""Live Link Face CSV, ARKit JSON and BVH: the formats that are text."""

import csv
import io
import json

import numpy as np

from reactface_jax.export.motion import METRES, Motion
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

# The columns of Apple's app and Unreal, in their order: 52 weights and nine angles.
_EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
_SIDES = ("Left", "Right")
LIVE_LINK_WEIGHTS = (
    *(f"Eye{what}{side}" for side in _SIDES for what in _EYE),
    *("JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight"),
    "MouthLeft",
    *(f"Mouth{what}{side}" for what in ("Smile", "Frown", "Dimple", "Stretch") for side in _SIDES),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *(f"Mouth{what}{side}" for what in ("Press", "LowerDown", "UpperUp") for side in _SIDES),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff"),
    *("CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
LIVE_LINK_ANGLES = tuple(
    f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")
)
_LIVE_LINK_SIGNS = (-1, 1, 1)
"""Of yaw, pitch and roll, where ours are to the person's left, down, and to the right shoulder.

In public takes of the app the eyes' pitch is positive down and their yaw to the person's right. The head's columns were
0 in all of them, so that it follows the same signs is a guess."""
_TIMECODE_RATE = 60
"""Unreal's importer takes the frame field for sixtieths of a second, whatever the take's rate."""


def live_link_csv(motion: Motion) -> str:
    """The CSV of Epic's Live Link Face app: timecode, number of columns, 61 columns.

    Angles are in rad: yaw to the person's right, pitch down, roll to the right shoulder. The eyes' angles are 0, since
    the look weights move the eyes.
    """
    columns = [_arkit_name(name) for name in LIVE_LINK_WEIGHTS]
    weights = motion.weights[:, [ARKIT_NAMES.index(name) for name in columns]]
    head = motion.turn[:, [1, 0, 2]] * _LIVE_LINK_SIGNS
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    count = len(LIVE_LINK_WEIGHTS) + len(LIVE_LINK_ANGLES)
    writer.writerow(["Timecode", "BlendShapeCount", *LIVE_LINK_WEIGHTS, *LIVE_LINK_ANGLES])
    for i, row in enumerate(np.concatenate([weights, head, np.zeros((len(head), 6))], 1)):
        writer.writerow([_timecode(i, motion.frame_rate), count, *(f"{value:.8f}" for value in row)])
    return out.getvalue()


def arkit_json(motion: Motion) -> str:
    """Weights by ARKit name, the head's turn (rad) and shift (m), a frame at a time."""
    frames = [
        {
            "time": i / motion.frame_rate,
            "weights": {name: round(float(value), 6) for name, value in zip(ARKIT_NAMES, weights, strict=True)},
            "headRotation": [round(float(value), 6) for value in turn],
            "headTranslation": [round(METRES * float(value), 6) for value in shift],
        }
        for i, (weights, turn, shift) in enumerate(zip(motion.weights, motion.turn, motion.shift, strict=True))
    ]
    about = {
        "frameRate": motion.frame_rate,
        "frames": frames,
        "axes": "x to the person's left, y up, z forwards; rotation in radians about x, y, z, applied in this order; "
        "translation in metres",
    }
    return json.dumps(about)


def bvh(motion: Motion) -> str:
    """The head as a BVH skeleton of one joint: place in centimetres, angles in degrees."""
    lines = [
        "HIERARCHY",
        "ROOT Head",
        "{",
        "\tOFFSET 0 0 0",
        "\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation",
        "\tEnd Site",
        "\t{",
        "\t\tOFFSET 0 20 0",
        "\t}",
        "}",
        "MOTION",
        f"Frames: {len(motion.turn)}",
        f"Frame Time: {1 / motion.frame_rate:.6f}",
    ]
    rows = np.concatenate([100 * METRES * motion.shift, np.degrees(motion.turn[:, ::-1])], axis=1)
    lines += [" ".join(f"{value:.5f}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"


def _arkit_name(column: str) -> str:
    """`EyeBlinkLeft` is ARKit's `eyeBlinkLeft`; MakeHuman's spelling of sides is ARKit's here."""
    return column[0].lower() + column[1:]


def _timecode(frame: int, frame_rate: int) -> str:
    """Hours, minutes, seconds, and the part of a second in sixtieths with thousandths, such as `12:24:24:19.960`."""
    seconds, part = divmod(frame, frame_rate)
    sixtieths = f"{part * _TIMECODE_RATE / frame_rate:06.3f}"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{sixtieths}"
