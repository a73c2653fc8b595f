"""A decoded picture of a video, converted to RGB only where it is looked at.

Most of a large picture is never needed when a face is cropped out of it, and converting all of it costs more than the
crop. Of pictures in the usual form (8-bit YUV with half the colour resolution, square pixels, upright) only a part's
planes are converted, to the same values; of others, all of the picture is, by `displayed`.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from reactface_jax.media.displayed import displayed, is_plain

_ALIGNED = 16
"""Parts begin at multiples of it, and end there or with the picture: FFmpeg converts that many pixels at once, by the
same arithmetic wherever they lie."""
_FORMATS = ("yuv420p", "yuvj420p")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as a player shows it."""

    frame: VideoFrame
    time: float
    """When it is shown (s)."""
    pixel_aspect: Fraction | None = None
    size: tuple[int, int] | None = None
    """(height, width) that it is brought to; None: its own."""
    converter: VideoReformatter = field(default_factory=VideoReformatter)
    """Of all pictures of a video, so that it is set up once."""

    @cached_property
    def rgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """All of it."""
        return displayed(self.frame, self.pixel_aspect, self.size)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return (self.frame.height, self.frame.width) if self._is_plain else self.rgb.shape[:2]

    @cached_property
    def _is_plain(self) -> bool:
        frame = self.frame
        own = (frame.height, frame.width)
        return (
            frame.format.name in _FORMATS
            and own[0] % 2 == own[1] % 2 == 0
            and self.size in (None, own)
            and is_plain(frame, self.pixel_aspect)
        )

    def part(self, left: int, top: int, right: int, bottom: int) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels in [left, right) and [top, bottom), which lie within the picture."""
        if not self._is_plain:
            return self.rgb[top:bottom, left:right]
        part, x, y = self._cut(left, top, right, bottom, _ALIGNED)
        rgb = self.converter.reformat(part, format="rgb24").to_ndarray()
        return rgb[top - y : bottom - y, left - x : right - x]

    def shrunk(
        self, left: int, top: int, right: int, bottom: int, longest: int
    ) -> tuple[UInt8[np.ndarray, "h w 3"], float, int, int]:
        """A part that covers the given one to a pixel, shrunk until its longer side is at most `longest`.

        Returns:
          The part, by how much it was shrunk, and its left and top edges.
        """
        if self._is_plain:
            part, left, top = self._cut(left, top, right, bottom, 2)
        else:
            part = VideoFrame.from_ndarray(np.ascontiguousarray(self.rgb[top:bottom, left:right]), format="rgb24")
        scale = max(1.0, max(part.height, part.width) / longest)
        size = {"height": round(part.height / scale), "width": round(part.width / scale)}
        small = self.converter.reformat(part, **size, format="rgb24", interpolation="AREA")
        return small.to_ndarray(), scale, left, top

    def _cut(self, left: int, top: int, right: int, bottom: int, aligned: int) -> tuple[VideoFrame, int, int]:
        """A part with edges at multiples of `aligned`, or at the picture's; and its left and top edges."""
        frame = self.frame
        left, top = left // aligned * aligned, top // aligned * aligned
        right, bottom = (
            min(-(-edge // aligned) * aligned, end) for edge, end in ((right, frame.width), (bottom, frame.height))
        )
        planes = []
        for plane, share in zip(frame.planes, (1, 2, 2), strict=True):
            rows = np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(-1, plane.line_size)
            planes.append(rows[top // share : bottom // share, left // share : right // share].ravel())
        part = VideoFrame.from_ndarray(np.concatenate(planes).reshape(-1, right - left), format=frame.format.name)
        part.colorspace, part.color_range = frame.colorspace, frame.color_range
        return part, left, top
