"""Whether things work, tried in processes of their own: one that crashes or hangs takes nothing down.

Each probe is a program that prints one line of JSON: {"works": true or false, "says": "…"}.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Probed(NamedTuple):
    """What a probe found."""

    works: bool
    says: str
    """What is there, or why it does not work."""


class Probe(NamedTuple):
    """A thing to try."""

    title: str
    packages: tuple[str, ...]
    """Without these it is not tried."""
    program: str
    mend: str
    """What to do where it fails."""


_HEAD = """
import json, os, sys
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
def say(works, text):
    os.write(answer, (json.dumps({"works": works, "says": " ".join(str(text).split())}) + "\\n").encode())
answer = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print what they like
try:
"""
_FOOT = """
except BaseException as error:
    say(False, f"{type(error).__name__}: {error}")
"""

PROBES: Mapping[str, Probe] = {
    "devices": Probe(
        "JAX's devices",
        ("jax", "jaxlib"),
        """
    import collections, jax
    kinds = collections.Counter(f"{each.platform.upper()} ({each.device_kind})" for each in jax.devices())
    say(True, ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
""",
        "pip install --upgrade reactface-jax",
    ),
    "drawing": Probe(
        "drawing the 3-D head (OpenGL, VTK)",
        ("pyvista",),
        """
    from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer
    renderer = HeadRenderer((64, 64))
    picture = renderer.render(NEUTRAL)
    window = renderer._window.GetClassName()
    say(bool(picture.std() > 5), f"a picture by {window}" if picture.std() > 5 else f"{window} draws an empty picture")
    renderer.close()
""",
        "apt-get install libegl1 libgl1-mesa-dri",
    ),
    "faces": Probe(
        "finding faces (MediaPipe)",
        ("mediapipe", "av"),
        """
    import contextlib, io, numpy as np
    from reactface_jax.media.face import find_faces
    with contextlib.redirect_stderr(io.StringIO()):
        found = list(find_faces([np.zeros((96, 96, 3), np.uint8)] * 2))
    say(len(found) == 2, "it starts and looks at pictures")
""",
        "apt-get install libegl1 libgles2 libgl1 libglib2.0-0",
    ),
    "codecs": Probe(
        "video and sound (PyAV)",
        ("av",),
        """
    import av
    wanted = {"libx264": "w", "aac": "w", "h264": "r", "vp9": "r", "opus": "r"}
    missing = []
    for name, mode in wanted.items():
        try:
            av.codec.Codec(name, mode)
        except Exception:
            missing.append(f"{name} ({'writing' if mode == 'w' else 'reading'})")
    say(not missing, "lacks " + ", ".join(missing) if missing else "H.264 and AAC are written and read")
""",
        "pip install --force-reinstall --only-binary :all: av",
    ),
}


def start(probe: Probe) -> "subprocess.Popen[str]":
    """Begins a probe."""
    program = _HEAD + probe.program + _FOOT
    words = [sys.executable, "-c", program]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def result_of(process: "subprocess.Popen[str]", seconds: float) -> Probed:
    """What a probe says, or how it ended without a word."""
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Probed(False, f"no answer within {seconds:g} s")
    for line in out.splitlines()[-1:]:
        try:
            content = json.loads(line)
            return Probed(bool(content["works"]), str(content["says"]))
        except (ValueError, KeyError, TypeError):
            pass
    return Probed(False, f"ended with code {process.returncode}: {_last(errors.splitlines())}")


def _last(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
