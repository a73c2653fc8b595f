"""One person's face in a stretch of a recording: the crops that a model sees, and 58 coefficients with confidence.

Where to look: in the boxes of the data set, if it has valid ones; in a half of the picture, if two people share it;
else in all of it. Faces are then found and cropped as in own recordings, so that all data are framed alike, whatever a
data set's boxes frame (a face, or a whole person).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_pipeline.open_data.features import Feature, rows_at
from data_pipeline.open_data.following import Followed, Half, Region
from data_pipeline.open_data.media import Film, pictures
from data_pipeline.open_data.members import Member
from data_pipeline.raw_tree.clips import jpeg
from data_pipeline.raw_tree.reader import NotUsable
from reactface_jax.extraction.people import MAX_GAP, Crop, Measured, measure_crops

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
    frames: list[bytes] = []
    followed = Followed(region, view.half)
    measured = measure_crops(_kept(followed.crops(pictures(view.video, start, num_frames)), frames))
    if followed.chosen is None:
        raise NotUsable(f"no face is seen of {where}")
    if not followed.held:  # another face turned out to be the larger one
        frames.clear()
        known = Followed(region, view.half, followed.chosen)
        measured = measure_crops(_kept(known.crops(pictures(view.video, start, num_frames)), frames))
    seen = float(measured.usable.mean())
    if seen < min_seen or not measured.measured.any():
        raise NotUsable(f"the face of {where} is seen in {seen:.0%} of the frames, less than --min-seen {min_seen:g}")
    return Face(frames, held(measured), confidence_of(measured))


def _kept(crops: Iterable[Crop], frames: list[bytes]) -> Iterator[Crop]:
    """The same crops, whose JPEGs go to `frames`."""
    for one in crops:
        frames.append(jpeg(one.picture))
        yield one


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


def _region(view: View, start: float, num_frames: int) -> Region | None:
    """Where the boxes say to look; None: everywhere."""
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
