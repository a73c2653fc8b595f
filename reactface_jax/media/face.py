"""Finding a person's face in a video, and the steady 256x256 crop of it that the model was trained on.

MediaPipe finds all faces of every frame; `link` joins them into tracks, one a person; `choose` takes one; and
`steady_crops` turns its boxes into a square that follows slowly, so that the head's own movement stays visible.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from reactface_jax.errors import UserError
from reactface_jax.hidden_package import hidden
from reactface_jax.types import FRAME_RATE

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import FaceLandmarker as MediaPipeLandmarker
    from mediapipe.tasks.python.vision import FaceLandmarkerResult

CROP_SIZE = 256
"""Side of a crop in pixels, as in the data sets."""

# Framing, as in the made conversations (mean over random looks of the 3-D head): the share of the crop's height from
# the forehead's upper edge to the chin, and how far the crop's centre lies above the face's, in face heights.
_FACE_HEIGHT_SHARE = 0.59
_CENTRE_ABOVE_FACE = 0.045

_SMOOTHING = 0.6  # s, standard deviation of the crop's Gaussian smoothing
_MAX_FACES = 4


@dataclass(frozen=True)
class MeasuredFace:
    """What MediaPipe measures of one face in one frame."""

    landmarks: Float[np.ndarray, "478 3"]
    """As of `FaceLandmarker.landmarks`."""
    weights: dict[str, float]
    """Of the 51 ARKit shapes that MediaPipe scores (no tongueOut), in [0, 1]."""
    matrix: Float[np.ndarray, "4 4"]
    """Brings its model of a face (cm; x to the person's left, y up, z out of the face) before its camera, which has a
    vertical angle of view of 63 degrees, x to the right, y up and looks along -z."""


class FaceLandmarker:
    """MediaPipe's face landmarker over a video: a context manager around one stream of frames.

    Args:
      measures: whether `measure` is wanted, which takes longer.

    Raises:
      UserError: MediaPipe is not installed, or a library that it needs is not.
    """

    def __init__(self, measures: bool = False) -> None:
        with _quiet():
            self._mediapipe, self._landmarker = _start_mediapipe(measures)
            self._time = 0
            # MediaPipe's threads print notes while they start: a first, black frame makes them do so here.
            self.landmarks(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> "FaceLandmarker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.close()

    def landmarks(self, frame: UInt8[np.ndarray, "H W 3"]) -> list[Float[np.ndarray, "478 3"]]:
        """Landmarks of each face of the next frame: x, y in pixels, z (towards the camera < 0) in the same unit."""
        return _in_pixels(self._detect(frame), frame)

    def measure(self, frame: UInt8[np.ndarray, "H W 3"]) -> list[MeasuredFace]:
        """Landmarks, expression and pose of each face of the next frame."""
        found = self._detect(frame)
        scores = [
            {score.category_name: score.score for score in face if score.category_name != "_neutral"}
            for face in found.face_blendshapes
        ]
        matrices = [np.asarray(matrix, np.float32) for matrix in found.facial_transformation_matrixes]
        return [MeasuredFace(*face) for face in zip(_in_pixels(found, frame), scores, matrices, strict=True)]

    def _detect(self, frame: UInt8[np.ndarray, "H W 3"]) -> "FaceLandmarkerResult":
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        self._time += 1000 // FRAME_RATE
        return self._landmarker.detect_for_video(image, self._time)


@dataclass
class FaceTrack:
    """One person's face through a video."""

    boxes: dict[int, Float[np.ndarray, " 4"]] = field(default_factory=dict)
    """Frame number → left, top, right, bottom of the landmarks (pixels), in the frames where the face was found."""

    @property
    def last_frame(self) -> int:
        return next(reversed(self.boxes))  # frames are added in order

    @property
    def area(self) -> float:
        """Summed over frames (pixels²): how much of the video the face fills."""
        return float(sum((box[2] - box[0]) * (box[3] - box[1]) for box in self.boxes.values()))

    @property
    def x(self) -> float:
        """Mean horizontal position (pixels)."""
        return float(np.mean([(box[0] + box[2]) / 2 for box in self.boxes.values()]))


def find_faces(frames: Iterable[UInt8[np.ndarray, "H W 3"]]) -> list[list[Float[np.ndarray, " 4"]]]:
    """Boxes (left, top, right, bottom; pixels) of all faces of each frame."""
    found: list[list[Float[np.ndarray, " 4"]]] = []
    previous: np.ndarray | None = None
    with FaceLandmarker() as landmarker:
        for frame in frames:
            if frame is previous:  # a slow video resampled to 25 fps repeats its frames
                found.append(found[-1])
                continue
            previous = frame
            found.append(boxes_of(landmarker.landmarks(frame)))
    return found


def boxes_of(faces: list[Float[np.ndarray, "478 3"]]) -> list[Float[np.ndarray, " 4"]]:
    """Boxes (left, top, right, bottom) of landmarks."""
    return [np.concatenate([face[:, :2].min(axis=0), face[:, :2].max(axis=0)]) for face in faces]


def link(found: list[list[Float[np.ndarray, " 4"]]]) -> list[FaceTrack]:
    """Joins the boxes of all frames into tracks: nearest first, within a distance that grows while a face is lost."""
    tracks: list[FaceTrack] = []
    for frame, boxes in enumerate(found):
        extend(tracks, frame, boxes)
    return tracks


def extend(tracks: list[FaceTrack], frame: int, boxes: list[Float[np.ndarray, " 4"]]) -> None:
    """Adds the boxes of one more frame to the tracks that they belong to, and begins new tracks with the others."""
    pairs = []
    for t, track in enumerate(tracks):
        last = track.boxes[track.last_frame]
        reach = (last[2] - last[0]) * (0.5 + 0.1 * (frame - track.last_frame))
        for b, box in enumerate(boxes):
            distance = np.hypot(*((box[:2] + box[2:]) - (last[:2] + last[2:]))) / 2
            if distance < reach:
                pairs.append((distance, t, b))
    free_tracks, free_boxes = set(range(len(tracks))), set(range(len(boxes)))
    for _, t, b in sorted(pairs):
        if t in free_tracks and b in free_boxes:
            tracks[t].boxes[frame] = boxes[b]
            free_tracks.remove(t)
            free_boxes.remove(b)
    tracks += [FaceTrack({frame: boxes[b]}) for b in sorted(free_boxes)]


def choose(tracks: list[FaceTrack], which: str = "largest", source: str = "the video") -> FaceTrack:
    """Takes one person's track.

    Args:
      tracks: from `link`.
      which: "largest" (summed over the video), "left", "right", or "1", "2" … counted from the left. Faces that are
        there in less than a fifth of the frames of the longest track don't count.
      source: names the video in errors.

    Raises:
      UserError: there is no face, or not that many.
    """
    if not tracks:
        raise UserError(f"no face was found in {source}; give a video in which a face is seen from the front")
    longest = max(len(track.boxes) for track in tracks)
    people = sorted((track for track in tracks if 5 * len(track.boxes) >= longest), key=lambda track: track.x)
    if which == "largest":
        return max(people, key=lambda track: track.area)
    if which in ("left", "right"):
        return people[0 if which == "left" else -1]
    check_choice(which)
    if int(which) > len(people):
        counted = "only one face was" if len(people) == 1 else f"only {len(people)} faces were"
        raise UserError(f"--face {which}: {counted} found in {source}; give a smaller number")
    return people[int(which) - 1]


def check_choice(which: str) -> None:
    """Raises `UserError` unless `which` is largest, left, right or a number from 1."""
    if which not in ("largest", "left", "right") and not (which.isdecimal() and int(which) >= 1):
        raise UserError(f"--face {which} is not known; give largest, left, right or a number counted from the left")


def longest_loss(track: FaceTrack, num_frames: int) -> int:
    """The longest run of frames (of all `num_frames`) in which the face was lost."""
    seen = np.array([-1, *sorted(track.boxes), num_frames])
    return int(np.diff(seen).max()) - 1


def steady_crops(track: FaceTrack, num_frames: int) -> Float[np.ndarray, "T 3"]:
    """The square to crop in every frame: centre x, centre y and side (pixels).

    The square follows the face smoothly (Gaussian over time); where the face is lost, the last box is held, and before
    it is first seen the first one.
    """
    seen = np.array(sorted(track.boxes))
    boxes = np.stack([track.boxes[frame] for frame in seen])
    last_seen = np.searchsorted(seen, np.arange(num_frames), side="right") - 1
    boxes = boxes[np.maximum(last_seen, 0)]
    return gaussian_filter1d(square_around(boxes), _SMOOTHING * FRAME_RATE, axis=0, mode="nearest")


def square_around(box: Float[np.ndarray, "*T 4"]) -> Float[np.ndarray, "*T 3"]:
    """The square that frames a face as the data do: centre x, centre y and side, for left, top, right and bottom."""
    left, top, right, bottom = np.moveaxis(box, -1, 0)
    height = bottom - top
    centre_y = (top + bottom) / 2 - _CENTRE_ABOVE_FACE * height
    return np.stack([(left + right) / 2, centre_y, height / _FACE_HEIGHT_SHARE], axis=-1)


def crop(
    frame: UInt8[np.ndarray, "H W 3"], square: Float[np.ndarray, " 3"], size: int = CROP_SIZE
) -> UInt8[np.ndarray, "size size 3"]:
    """Cuts a square (centre x, centre y, side; pixels) out of a frame and resizes it; edges are repeated outside."""
    x, y, side = (float(value) for value in square)
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    height, width = frame.shape[:2]
    margin = max(0, *(int(np.ceil(m)) for m in (-box[0], -box[1], box[2] - width, box[3] - height)))
    if margin:
        frame = np.pad(frame, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        box += margin
    # Pillow cuts at fractions of a pixel (no jitter) and averages where it shrinks.
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR, box=tuple(box.tolist())))


def model_frame(frame: UInt8[np.ndarray, "256 256 3"], image_size: int) -> UInt8[np.ndarray, "H W 3"]:
    """A crop as the model sees it: its centre of 7/8 of the side, resized to `image_size`.

    The steps are the data loader's, which halves pictures while they stay large enough and then averages over area.
    """
    largest = len(frame) * 7 / 8
    factor = max(f for f in (1, 2, 4, 8) if f == 1 or largest / f >= image_size)
    side, picture = round(largest / factor), Image.fromarray(frame).reduce(factor)
    margin = (picture.width - side) // 2
    picture = picture.crop((margin, margin, margin + side, margin + side))
    if side <= image_size:
        return np.asarray(picture.resize((image_size, image_size), Image.Resampling.BILINEAR))
    weights = _area_weights(side, image_size)
    averaged = np.einsum("iy,yxc,jx->ijc", weights, np.asarray(picture, np.float32), weights, optimize=True)
    return np.round(averaged).astype(np.uint8)


@functools.cache
def _area_weights(source: int, target: int) -> Float[np.ndarray, "target source"]:
    """What share of each of `target` equal parts of a line of `source` pixels every pixel has."""
    edges = np.arange(target + 1)[:, None] * source / target
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (np.maximum(overlap, 0) * target / source).astype(np.float32)


def _in_pixels(found: "FaceLandmarkerResult", frame: UInt8[np.ndarray, "H W 3"]) -> list[Float[np.ndarray, "478 3"]]:
    height, width = frame.shape[:2]
    scale = np.array([width, height, width], np.float32)
    return [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in found.face_landmarks]


def _start_mediapipe(measures: bool) -> tuple[ModuleType, "MediaPipeLandmarker"]:
    try:
        # MediaPipe imports TensorFlow, if it is there, only for a decorator of its documentation: seconds for nothing,
        # and a crash when the 3-D head is drawn later (see data_pipeline/host_tensorflow.py).
        with hidden("tensorflow"):
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

        model = resources.files("reactface_jax") / "assets" / "face_landmarker.task"
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=_MAX_FACES,
            output_face_blendshapes=measures,
            output_facial_transformation_matrixes=measures,
        )
        return mediapipe, vision.FaceLandmarker.create_from_options(options)
    except ModuleNotFoundError as error:
        raise UserError(f"finding faces needs {error.name}; run: pip install 'reactface-jax[render]'") from error
    except (ImportError, OSError) as error:  # OpenCV or MediaPipe lacks a shared library
        raise UserError(
            f"MediaPipe can't start ({error}); run: apt-get install libegl1 libgles2 libgl1 libglib2.0-0"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Sends the process's stderr to nowhere: MediaPipe's C++ code writes there and has no switch for it."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
