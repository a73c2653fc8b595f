"""What is drawn beside the faces of a piece: MediaPipe's landmarks on them, and the 3-D head that coefficients make."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

from data_pipeline.raw_tree.clips import jpeg
from reactface_jax.extraction.people import central_face
from reactface_jax.media.face import FaceLandmarker
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer

_EVERY = 3
"""Of the 478 landmarks, every so many is shown."""
_HEAD = 160
"""Side of a head's picture (pixels)."""

Points = list[tuple[int, int]]


def landmarks(jpegs: Sequence[bytes]) -> list[Points]:
    """Some landmarks (x, y) of the face in the middle of each crop, in its pixels; none where there is no face."""
    found: list[Points] = []
    with FaceLandmarker(measures=True) as landmarker:
        for content in jpegs:
            face = central_face(landmarker.measure(np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))))
            shown = [] if face is None else np.round(face.landmarks[::_EVERY, :2]).astype(int).tolist()
            found.append([(x, y) for x, y in shown])
    return found


def heads(*tracks: Float[np.ndarray, "_ 58"]) -> list[list[bytes]]:
    """JPEGs of the head for each frame of each person, whose coefficients have ARKit's names."""
    renderer = HeadRenderer((_HEAD, _HEAD))
    try:
        return [[jpeg(renderer.render(frame)) for frame in track] for track in tracks]
    finally:
        renderer.close()
