"""People in videos of one's own: follow their faces, crop them, and measure 58 coefficients a frame with MediaPipe.

Faces are found and followed over the whole picture by `media.face`, as for a speaker who is to be answered.
Then the landmarker looks at each person's crop, which is what a model will see: 52 ARKit weights (tongueOut, which
MediaPipe does not know, is 0) and the head's pose (`head_pose`).

A frame counts as measured where the face is found in a new picture. Between measured frames that are at most half a
second apart coefficients are interpolated: where a face is lost for a moment, and where a slower video repeats its
pictures to come to 25 a second. A picture that stands for longer keeps its coefficients. Other frames can't be used.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.extraction.head_pose import head_pose
from reactface_jax.media.face import (
    CROP_SIZE,
    FaceLandmarker,
    FaceTrack,
    MeasuredFace,
    choose,
    crop,
    find_faces,
    link,
    steady_crops,
)
from reactface_jax.media.video import iterate_video
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS

MAX_GAP = FRAME_RATE // 2
"""Frames without a measurement that are interpolated (0.5 s)."""
_OFF_CENTRE = 0.3
"""How far from the crop's centre a face may be to be the person's, in crop sizes."""


@dataclass(frozen=True)
class Measured:
    """One person through a video."""

    squares: Float[np.ndarray, "T 3"]
    """What was cropped in each frame (`face.steady_crops`)."""
    coefficients: Float[np.ndarray, "T 58"]
    usable: Bool[np.ndarray, " T"]
    """Where coefficients are measured or interpolated."""
    measured: Bool[np.ndarray, " T"]
    """Where the face was found in the picture shown."""
    landmarks: dict[int, Float[np.ndarray, "478 2"]]
    """Of the frames that brought a new picture in which the face was found; pixels of the crop."""

    @property
    def jaw_open(self) -> Float[np.ndarray, " T"]:
        return self.coefficients[:, ARKIT_NAMES.index("jawOpen")]


def unseen(num_frames: int) -> Measured:
    """A person who is only heard: nothing is measured in any frame."""
    never = np.zeros(num_frames, bool)
    return Measured(np.zeros((num_frames, 3)), np.zeros((num_frames, NUM_COEFFICIENTS)), never, never, {})


def find_people(video: Path, on_frame: Callable[[], None] = lambda: None) -> tuple[list[FaceTrack], int]:
    """Tracks of all faces of a video, and its number of frames. Raises `UserError` where there is no face."""

    def frames() -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        for frame in iterate_video(video):
            yield frame
            on_frame()

    found = find_faces(frames())
    tracks = link(found)
    choose(tracks, source=str(video))
    return tracks, len(found)


def choose_two(tracks: list[FaceTrack], first: str, second: str, source: Path) -> tuple[FaceTrack, FaceTrack]:
    """Two people of one video; an empty choice is the other one of the two largest.

    Raises:
      UserError: there is only one face, or both choices are the same person.
    """
    longest = max(len(track.boxes) for track in tracks)
    people = [track for track in tracks if 5 * len(track.boxes) >= longest]  # as `choose` counts them
    if len(people) < 2:
        raise UserError(
            f"only one face was found in {source}, but speaker and listener are wanted; give a video in which both are "
            "seen, or the listener's own"
        )
    if first and second:
        chosen = choose(tracks, first, str(source)), choose(tracks, second, str(source))
        if chosen[0] is chosen[1]:
            raise UserError(f"{first} and {second} are the same face in {source}; choose another for one of them")
        return chosen
    if first or second:
        one = choose(tracks, first or second, str(source))
        other = max((track for track in people if track is not one), key=lambda track: track.area)
        return (one, other) if first else (other, one)
    left, right = sorted(sorted(people, key=lambda track: -track.area)[:2], key=lambda track: track.x)
    return left, right


def measure(
    video: Path, tracks: Sequence[FaceTrack], num_frames: int, on_frame: Callable[[], None] = lambda: None
) -> list[Measured]:
    """Measures some people of a video, frame by frame."""
    squares = [steady_crops(track, num_frames) for track in tracks]
    faces: list[dict[int, MeasuredFace]] = [{} for _ in tracks]
    shown = np.zeros(num_frames, np.int64)  # the frame that brought the picture
    previous: np.ndarray | None = None
    with contextlib.ExitStack() as stack:
        landmarkers = [stack.enter_context(FaceLandmarker(measures=True)) for _ in tracks]
        for t, frame in enumerate(iterate_video(video)):
            shown[t] = shown[t - 1] if frame is previous else t
            if frame is not previous:
                for square, seen, landmarker in zip(squares, faces, landmarkers, strict=True):
                    face = central_face(landmarker.measure(crop(frame, square[t])))
                    if face is not None:
                        seen[t] = face
            previous = frame
            on_frame()
    return [_person(square, seen, shown) for square, seen in zip(squares, faces, strict=True)]


@dataclass(frozen=True)
class Crop:
    """A person's crop of a frame."""

    picture: UInt8[np.ndarray, "256 256 3"]
    square: Float[np.ndarray, " 3"]
    """What was cropped."""
    is_new: bool
    """Whether the frame brings a new picture."""


def measure_crops(crops: Iterable[Crop]) -> Measured:
    """Measures one person whose crops somebody else makes, a crop for each frame."""
    seen: dict[int, MeasuredFace] = {}
    shown: list[int] = []
    squares: list[Float[np.ndarray, " 3"]] = []
    with FaceLandmarker(measures=True) as landmarker:
        for t, one in enumerate(crops):
            shown.append(t if one.is_new else shown[-1])
            squares.append(one.square)
            face = central_face(landmarker.measure(one.picture)) if one.is_new else None
            if face is not None:
                seen[t] = face
    return _person(np.stack(squares), seen, np.array(shown)) if shown else unseen(0)


def central_face(faces: list[MeasuredFace]) -> MeasuredFace | None:
    """The face in the middle of a crop, or None; another person's may be in it, too."""

    def distance(face: MeasuredFace) -> float:
        places = face.landmarks[:, :2]
        return float(np.hypot(*((places.min(axis=0) + places.max(axis=0)) / 2 - CROP_SIZE / 2)))

    nearest = min(faces, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) < _OFF_CENTRE * CROP_SIZE else None


def _person(squares: Float[np.ndarray, "T 3"], faces: dict[int, MeasuredFace], shown: np.ndarray) -> Measured:
    values = np.zeros((len(shown), NUM_COEFFICIENTS), np.float32)
    for t, face in faces.items():
        values[t] = coefficients_of(face)
    found = np.isin(np.arange(len(shown)), list(faces))
    measured = found[shown]
    values, known = hold(values, found, shown)
    coefficients, usable = fill_gaps(values, known)
    return Measured(
        squares=squares,
        coefficients=coefficients,
        usable=usable,
        measured=measured,
        landmarks={t: face.landmarks[:, :2] for t, face in faces.items()},
    )


def coefficients_of(face: MeasuredFace) -> Float[np.ndarray, "58"]:
    """52 weights in the order of `ARKIT_NAMES`, then rotation and translation."""
    weights = [face.weights.get(name, 0.0) for name in ARKIT_NAMES]  # tongueOut is not among MediaPipe's
    return np.concatenate([np.array(weights, np.float32), head_pose(face.matrix)])


def hold(
    values: Float[np.ndarray, "T C"], found: Bool[np.ndarray, " T"], shown: np.ndarray
) -> tuple[Float[np.ndarray, "T C"], Bool[np.ndarray, " T"]]:
    """Keeps a picture's values while it stands for more than half a second, and to the end if it is the last."""
    stands = np.bincount(shown, minlength=len(shown))[shown]
    kept = found[shown] & ((stands > MAX_GAP) | (shown == shown[-1]))
    return np.where(kept[:, None], values[shown], values), found | kept


def fill_gaps(
    values: Float[np.ndarray, "T C"], known: Bool[np.ndarray, " T"], longest: int = MAX_GAP
) -> tuple[Float[np.ndarray, "T C"], Bool[np.ndarray, " T"]]:
    """Interpolates between known frames with at most `longest` unknown ones between them.

    Returns:
      Values, and where they are known or interpolated.
    """
    filled, usable = values.copy(), known.copy()
    places = np.flatnonzero(known)
    for before, after in itertools.pairwise(places):
        if 1 < after - before <= longest + 1:
            share = (np.arange(before + 1, after) - before)[:, None] / (after - before)
            filled[before + 1 : after] = (1 - share) * values[before] + share * values[after]
            usable[before + 1 : after] = True
    return filled, usable


def segments(usable: Bool[np.ndarray, " T"], longest: int, shortest: int) -> list[tuple[int, int]]:
    """First frame and the one after the last of each clip to cut: usable throughout, at most and at least so long.

    A longer stretch is cut into clips of the longest length; a rest that is too short is left out.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(np.int8)))
    clips = []
    for start, stop in edges.reshape(-1, 2).tolist():
        clips += [(first, min(first + longest, stop)) for first in range(start, stop, longest)]
    return [(start, stop) for start, stop in clips if stop - start >= shortest]
