"""Following one face through pictures while they are decoded, and cropping it a little later, when its way is known.

A video is decoded once. Faces are looked for in every tenth frame, and in every one while there is none; between two
looks a box moves evenly. A crop's place is the box smoothed over time (`face.steady_crops`), so a crop is made when the
box is known for 1.6 s ahead; what comes later would move it by less than a hundredth of how far the face moves.

Of several faces the one that fills most of the stretch counts, which is known at its end only. Until then the largest
so far is taken; where that turns out to be another one, `Followed.held` is false, and the stretch is followed again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from reactface_jax.extraction.people import Crop
from reactface_jax.media.face import CROP_SIZE, FaceLandmarker, FaceTrack, boxes_of, crop, extend, steady_crops
from reactface_jax.media.picture import Picture

Half = Literal["", "left", "right"]
Region = tuple[float, float, float, float]
"""Left, top, right, bottom (pixels)."""

_EVERY = 10
"""Frames from one look to the next."""
_AHEAD = 40
"""Frames that have to be known after the one that is cropped."""
_BEHIND = 60
"""Frames before it that the smoothing sees."""
_SEARCHED = 512
"""Longer side of what faces are looked for in (pixels): MediaPipe's detector sees less than that anyway."""


@dataclass
class Followed:
    """One face in a stretch of pictures."""

    region: Region | None
    """Where to look; None: everywhere."""
    half: Half = ""
    known: FaceTrack | None = None
    """Which face it is, from following the same pictures before."""
    held: bool = True
    """Whether all crops are of the face that is the largest over the whole stretch."""
    _tracks: list[FaceTrack] = field(default_factory=list)
    _taken: FaceTrack | None = None

    @property
    def chosen(self) -> FaceTrack | None:
        """The face that fills most of the pictures so far; None where there is none."""
        return self.known or max(self._tracks, key=lambda one: one.area, default=None)

    def crops(self, pictures: Iterable[Picture]) -> Iterator[Crop]:
        """Crops of all frames; none while there is no face, nor once it is clear that they have to be made again."""
        waiting: list[tuple[Picture, bool]] = []
        first, following, newest = 0, 0, -1  # the frame that waits longest; the next to look at; the last new picture's
        with FaceLandmarker() as landmarker:

            def look(number: int, picture: Picture) -> None:
                nonlocal following
                extend(self._tracks, number, self._found(landmarker, picture))
                seen = self.chosen is not None and self.chosen.last_frame == number
                following = number + (_EVERY if seen else 1)

            for number, picture in enumerate(pictures):
                is_new = not waiting or picture is not waiting[-1][0]
                newest = number if is_new else newest
                if self.known is None and is_new and number >= following:
                    look(number, picture)
                waiting.append((picture, is_new))
                if len(waiting) == _AHEAD + _EVERY:
                    yield from self._cropped(waiting[:_EVERY], first, first + len(waiting))
                    del waiting[:_EVERY]
                    first += _EVERY
            if self.known is None and waiting and newest > following - _EVERY:  # or the last box would be held
                look(newest, waiting[-1][0])
        yield from self._cropped(waiting, first, first + len(waiting))

    def _found(self, landmarker: FaceLandmarker, picture: Picture) -> list[Float[np.ndarray, " 4"]]:
        """Boxes of all faces where one is to be looked for."""
        height, width = picture.shape
        left, top, right, bottom = 0, 0, width, height
        if self.half:
            left, right = (0, width // 2) if self.half == "left" else (width // 2, width)
        if self.region is not None:
            left, top = max(left, int(self.region[0])), max(top, int(self.region[1]))
            right, bottom = min(right, int(np.ceil(self.region[2]))), min(bottom, int(np.ceil(self.region[3])))
        if right - left < 2 or bottom - top < 2:  # boxes beside the picture
            left, top, right, bottom = 0, 0, width, height
        small, scale, left, top = picture.shrunk(left, top, right, bottom, _SEARCHED)
        edges = np.array([left, top, left, top])
        return [box * scale + edges for box in boxes_of(landmarker.landmarks(small))]

    def _cropped(self, block: list[tuple[Picture, bool]], first: int, end: int) -> Iterator[Crop]:
        """Crops of the frames from `first` on, when those before `end` are known."""
        track = self.chosen
        self._taken = self._taken or track
        self.held = self.held and track is not None and track is self._taken
        if not self.held or track is None:
            return
        low = max(0, first - _BEHIND)
        squares = steady_crops(_evenly(track, low, end), end - low)[first - low :]
        for (picture, is_new), square in zip(block, squares, strict=False):
            yield Crop(_crop(picture, square), square, is_new)


def _evenly(track: FaceTrack, low: int, end: int) -> FaceTrack:
    """A track with a box for every frame from `low` (which becomes 0) to `end`.

    Between two looks that follow each other a box moves evenly; where the face was lost, the last one is held.
    """
    seen = np.array(sorted(track.boxes))
    boxes = np.stack([track.boxes[frame] for frame in seen.tolist()])
    frames = np.arange(low, end)
    after = np.searchsorted(seen, frames, side="right")
    before, after = np.maximum(after - 1, 0), np.minimum(after, len(seen) - 1)
    gap = seen[after] - seen[before]
    share = np.clip((frames - seen[before]) / np.maximum(gap, 1), 0, 1)
    share[gap > 2 * _EVERY] = 0
    return FaceTrack(dict(enumerate((1 - share[:, None]) * boxes[before] + share[:, None] * boxes[after])))


def _crop(picture: Picture, square: Float[np.ndarray, " 3"]) -> UInt8[np.ndarray, "256 256 3"]:
    """`face.crop` of a picture of which only the part about the square is converted."""
    height, width = picture.shape
    edge = 2 + int(np.ceil(square[2] / CROP_SIZE))  # what the averaging sees around it
    low, high = square[:2] - square[2] / 2 - edge, square[:2] + square[2] / 2 + edge
    left, top = (int(np.clip(at, 0, end - 1)) for at, end in zip(low, (width, height), strict=True))
    right, bottom = (int(np.clip(np.ceil(at), 1, end)) for at, end in zip(high, (width, height), strict=True))
    part = picture.part(left, top, max(right, left + 1), max(bottom, top + 1))
    factor = max(1, int(square[2] // CROP_SIZE))
    if factor > 1:  # averaging whole pixels first takes half the time for a face in 1080p
        part = np.asarray(Image.fromarray(part).reduce(factor))
    return crop(part, (square - np.array([left, top, 0])) / factor)
