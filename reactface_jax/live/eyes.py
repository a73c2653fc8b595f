"""What a camera shows of one person, measured as it comes: 58 coefficients a picture, and what a network sees of it.

As for recordings (`extraction.people`), the face is measured in a steady square around it. Here nothing is known of
what comes, so the square follows the boxes so far; where the face is lost for half a second, it is sought in the whole
picture again.
"""

from types import TracebackType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.extraction.people import central_face, coefficients_of
from reactface_jax.media.face import CROP_SIZE, FaceLandmarker, crop, model_frame, square_around

_FOLLOW = 1 / 15
"""Share of the way to the face's box that the square goes with each picture: 0.6 s at 25 a second."""
_LOST = 12
"""Pictures without a face after which it is sought in the whole picture."""


class Sight(NamedTuple):
    """What one picture shows."""

    face: Float[np.ndarray, "58"] | None
    """None where there is no face."""
    view: UInt8[np.ndarray, "H W 3"] | None
    """The face cropped as a network was trained on it; None for methods that look at coefficients only."""


class Eyes:
    """Follows the largest face. A context manager.

    Args:
      view_size: side of the views (pixels); None: there are none.

    Raises:
      UserError: MediaPipe is not installed, or its graphics libraries are not.
    """

    def __init__(self, view_size: int | None = None) -> None:
        self._view_size = view_size
        self._landmarker = FaceLandmarker(measures=True)
        self._square: Float[np.ndarray, " 3"] | None = None
        self._lost = 0

    def __enter__(self) -> "Eyes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.__exit__(kind, error, trace)

    def look(self, picture: UInt8[np.ndarray, "H W 3"]) -> Sight:
        """The person in the next picture. Where the face is lost, the view stays where it was."""
        if self._square is None:
            self._square = self._seek(picture)
        if self._square is None:
            return Sight(None, self._view(crop(picture, _middle(picture))))
        square = self._square
        cropped = crop(picture, square)
        view, face = self._view(cropped), central_face(self._landmarker.measure(cropped))
        if face is None:
            self._lost += 1
            if self._lost >= _LOST:
                self._square = None
            return Sight(None, view)
        self._lost = 0
        # From the crop's pixels to the picture's.
        scale = square[2] / CROP_SIZE
        corner = square[:2] - square[2] / 2
        places = face.landmarks[:, :2] * scale + corner
        wanted = square_around(np.concatenate([places.min(axis=0), places.max(axis=0)]))
        self._square = square + _FOLLOW * (wanted - square)
        return Sight(coefficients_of(face), view)

    def _seek(self, picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, " 3"] | None:
        """The square around the largest face of a whole picture."""
        boxes = [
            np.concatenate([face[:, :2].min(axis=0), face[:, :2].max(axis=0)])
            for face in self._landmarker.landmarks(picture)
        ]
        if not boxes:
            return None
        self._lost = 0
        return square_around(max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])))

    def _view(self, cropped: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "H W 3"] | None:
        return None if self._view_size is None else model_frame(cropped, self._view_size)


def _middle(picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, " 3"]:
    """The largest square in a picture's middle."""
    height, width = picture.shape[:2]
    return np.array([width / 2, height / 2, min(height, width)], np.float64)
