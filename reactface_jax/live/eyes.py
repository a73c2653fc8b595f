"""What a camera shows of one person, measured as it comes: 58 coefficients a picture.

As for recordings (`extraction.people`), the face is measured in a steady square around it. Here nothing is known of
what comes, so the square follows the boxes so far; where the face is lost for half a second, it is sought in the whole
picture again.
"""

from types import TracebackType

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.extraction.people import central_face, coefficients_of
from reactface_jax.media.face import CROP_SIZE, FaceLandmarker, crop, square_around

_FOLLOW = 1 / 15
"""Share of the way to the face's box that the square goes with each picture: 0.6 s at 25 a second."""
_LOST = 12
"""Pictures without a face after which it is sought in the whole picture."""


class Eyes:
    """Follows the largest face. A context manager.

    Raises:
      UserError: MediaPipe is not installed, or its graphics libraries are not.
    """

    def __init__(self) -> None:
        self._landmarker = FaceLandmarker(measures=True)
        self._square: Float[np.ndarray, " 3"] | None = None
        self._lost = 0

    def __enter__(self) -> "Eyes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.__exit__(kind, error, trace)

    def look(self, picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "58"] | None:
        """The coefficients of the person in the next picture, or None where there is no face."""
        if self._square is None:
            boxes = [
                np.concatenate([face[:, :2].min(axis=0), face[:, :2].max(axis=0)])
                for face in self._landmarker.landmarks(picture)
            ]
            if not boxes:
                return None
            self._square = square_around(max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])))
        square = self._square
        face = central_face(self._landmarker.measure(crop(picture, square)))
        if face is None:
            self._lost += 1
            if self._lost >= _LOST:
                self._square = None
            return None
        self._lost = 0
        # From the crop's pixels to the picture's.
        scale = square[2] / CROP_SIZE
        corner = square[:2] - square[2] / 2
        places = face.landmarks[:, :2] * scale + corner
        wanted = square_around(np.concatenate([places.min(axis=0), places.max(axis=0)]))
        self._square = square + _FOLLOW * (wanted - square)
        return coefficients_of(face)
