"""One person's face in a stretch of a recording: the crops that a model sees, and 58 coefficients with confidence.

Where to look: in the boxes of the data set, if it has valid ones; in a half of the picture, if two people share it;
else in all of it. Faces are then found and cropped as in own recordings, so that all data are framed alike, whatever a
data set's boxes frame (a face, or a whole person).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from data_pipeline.open_data.features import Feature, rows_at
from data_pipeline.open_data.media import Film, pictures
from data_pipeline.open_data.members import Member
from data_pipeline.raw_tree.clips import jpeg
from data_pipeline.raw_tree.reader import NotUsable
from reactface_jax.extraction.people import MAX_GAP, Measured, measure_crops
from reactface_jax.media.face import FaceTrack, crop, find_faces, link, steady_crops
from reactface_jax.media.video import resize

Half = Literal["", "left", "right"]

_SEARCHED = 512
"""Longer side of what faces are looked for in (pixels): MediaPipe's detector sees less than that anyway."""
_MARGIN = 0.25
"""What is added to each side of the boxes, in their size."""
_ENOUGH_BOXES = 0.1
"""Share of a stretch's frames that must have a valid box for the boxes to say where to look."""


@dataclass(frozen=True)
class Boxes:
    """A data set's boxes of a person: left, top, right, bottom (pixels) of each picture, and where they are valid."""

    box: Feature
    is_valid: Feature


@dataclass(frozen=True)
class View:
    """Where one person is seen."""

    video: Member
    film: Film
    half: Half = ""
    boxes: Boxes | None = None


@dataclass(frozen=True)
class Face:
    """One person in a stretch."""

    frames: list[bytes]
    """JPEGs of 256x256."""
    coefficients: Float[np.ndarray, "T 58"]
    confidence: Float[np.ndarray, " T"]
    """1 where measured, less between measured frames (see `confidence_of`), 0 where the face was lost."""


def measure_face(person: str, view: View, start: float, num_frames: int, min_seen: float) -> Face:
    """Finds and measures a face.

    Args:
      person: for messages.
      view: where to look.
      start: of the stretch (s).
      num_frames: of the stretch.
      min_seen: share of the frames that must have coefficients.

    Raises:
      NotUsable: there is no face, or it is lost for too long.
      UserError: the video is damaged.
    """
    where = f"{person} from {start:g} s on"
    region = _region(view, start, num_frames)
    track, found = _find(view, region, start, num_frames)
    if track is None:
        raise NotUsable(f"no face is seen of {where}")
    squares = steady_crops(track, found)
    frames: list[bytes] = []
    measured = measure_crops(_crops(view, squares, start, frames), squares)
    seen = float(measured.usable.mean())
    if seen < min_seen or not measured.measured.any():
        raise NotUsable(f"the face of {where} is seen in {seen:.0%} of the frames, less than --min-seen {min_seen:g}")
    return Face(frames, held(measured), confidence_of(measured))


def held(measured: Measured) -> Float[np.ndarray, "T 58"]:
    """Coefficients with the nearest usable frame's where the face is lost."""
    known = np.flatnonzero(measured.usable)
    places = np.arange(len(measured.usable))
    after = np.clip(np.searchsorted(known, places), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(known[before] - places) <= np.abs(known[after] - places), known[before], known[after])
    return measured.coefficients[nearer]


def confidence_of(measured: Measured) -> Float[np.ndarray, " T"]:
    """1 in measured frames; between them 1 - d / (half a second), d the distance to the nearest one; 0 elsewhere."""
    places, known = np.arange(len(measured.measured)), np.flatnonzero(measured.measured)
    distance = np.abs(places[:, None] - known[None]).min(axis=1)
    share = np.clip(1 - distance / (MAX_GAP + 1), 0, 1)
    return np.where(measured.usable, share, 0).astype(np.float32)


def _region(view: View, start: float, num_frames: int) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of where to look, as shares of the picture's sides or in pixels; None: everywhere."""
    if view.boxes is None:
        return None
    boxes, valid = view.boxes.box.read(), view.boxes.is_valid.read().reshape(-1)
    # One box a picture: where their numbers differ, nobody knows which box is of which picture.
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(valid) != len(boxes):
        return None
    if not len(boxes) or abs(len(boxes) - view.film.num_pictures) > 1:
        return None
    rows = rows_at(len(boxes), view.film.seconds, start, num_frames)
    taken = boxes[rows].astype(np.float64)
    holds = valid[rows].astype(bool) & np.isfinite(taken).all(axis=1)
    holds &= (taken[:, 2] > taken[:, 0]) & (taken[:, 3] > taken[:, 1])
    if holds.mean() < _ENOUGH_BOXES:
        return None
    left, top, right, bottom = np.concatenate(
        [np.quantile(taken[holds, :2], 0.02, axis=0), np.quantile(taken[holds, 2:], 0.98, axis=0)]
    )
    x, y = _MARGIN * (right - left), _MARGIN * (bottom - top)
    return left - x, top - y, right + x, bottom + y


def _cut_out(
    rgb: UInt8[np.ndarray, "H W 3"], half: Half, region: tuple[float, float, float, float] | None
) -> tuple[UInt8[np.ndarray, "h w 3"], int, int]:
    """The part of a picture to look at, and its left and top edges."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    if half:
        left, right = (0, width // 2) if half == "left" else (width // 2, width)
    if region is not None:
        left, top = max(left, int(region[0])), max(top, int(region[1]))
        right, bottom = min(right, int(np.ceil(region[2]))), min(bottom, int(np.ceil(region[3])))
    if right - left < 2 or bottom - top < 2:  # boxes beside the picture
        return rgb, 0, 0
    return rgb[top:bottom, left:right], left, top


def _find(
    view: View, region: tuple[float, float, float, float] | None, start: float, num_frames: int
) -> tuple[FaceTrack | None, int]:
    """The largest face's track in pixels of the picture, and the number of frames there are."""
    scale, left, top = 1.0, 0, 0

    def searched() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        nonlocal scale, left, top
        last, small = None, np.zeros((0, 0, 3), np.uint8)
        for picture in pictures(view.video, start, num_frames):
            if picture is not last:
                part, left, top = _cut_out(picture.rgb, view.half, region)
                scale = max(1.0, max(part.shape[:2]) / _SEARCHED)
                small = resize(part, (round(part.shape[0] / scale), round(part.shape[1] / scale)))
            last = picture
            yield small

    found = find_faces(searched())
    tracks = link(found)
    if not tracks:
        return None, len(found)
    track = max(tracks, key=lambda one: one.area)
    offset = np.array([left, top, left, top])
    return FaceTrack({frame: box * scale + offset for frame, box in track.boxes.items()}), len(found)


def _crops(
    view: View, squares: Float[np.ndarray, "T 3"], start: float, frames: list[bytes]
) -> Iterator[tuple[UInt8[np.ndarray, "256 256 3"], bool]]:
    """Crops of all frames, and whether the picture is new; their JPEGs go to `frames`."""
    last = None
    for square, picture in zip(squares, pictures(view.video, start, len(squares)), strict=True):
        face = crop(picture.rgb, square)
        frames.append(jpeg(face))
        yield face, picture is not last
        last = picture
