"""A decoded picture as a player shows it: square pixels, upright, in the size of the pictures before it."""

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from jaxtyping import Float, UInt8

_WIDEST_PIXEL = 8
"""Pixels that are said to be wider or higher than this many times are square, and the header is damaged."""


def displayed(
    frame: VideoFrame, pixel_aspect: Fraction | None, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Converts a frame to RGB and does to it what its file says.

    Args:
      frame: as it was decoded.
      pixel_aspect: width over height of a pixel; None or 0 if that is not known. The smaller side is stretched.
      size: (height, width) of the result; a picture of another aspect gets black bars. None: its own.
    """
    upright = turned(_square_pixels(frame, pixel_aspect), _display_matrix(frame))
    return upright if size is None or upright.shape[:2] == size else _fitted(upright, size)


def is_plain(frame: VideoFrame, pixel_aspect: Fraction | None) -> bool:
    """Whether nothing has to be done to a frame but to convert it to RGB."""
    return not _is_stretched(pixel_aspect or Fraction(1)) and _display_matrix(frame) is None


def turned(picture: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "3 3"] | None) -> UInt8[np.ndarray, "H W 3"]:
    """Turns and mirrors a picture as a display matrix says, to the nearest quarter turn.

    The matrix multiplies rows: a pixel at (x, y), y down, is shown at x' = a x + c y and y' = b x + d y, moved back
    into the picture (ISO/IEC 14496-12, 6.2.2).
    """
    if matrix is None:
        return picture
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        right, down = a, d
    else:
        picture = picture.transpose(1, 0, 2)
        right, down = c, b
    picture = picture[:, ::-1] if right < 0 else picture
    picture = picture[::-1] if down < 0 else picture
    return np.ascontiguousarray(picture)


def _display_matrix(frame: VideoFrame) -> Float[np.ndarray, "3 3"] | None:
    data = cast(Mapping[Type, SideData], frame.side_data).get(Type.DISPLAYMATRIX)
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3).astype(np.float64)


def _square_pixels(frame: VideoFrame, aspect: Fraction | None) -> UInt8[np.ndarray, "h w 3"]:
    aspect = aspect or Fraction(1)
    if not _is_stretched(aspect):
        return frame.to_ndarray(format="rgb24")
    width, height = frame.width, frame.height
    if aspect > 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    return frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC").to_ndarray()


def _is_stretched(aspect: Fraction) -> bool:
    return aspect != 1 and Fraction(1, _WIDEST_PIXEL) <= aspect <= _WIDEST_PIXEL


def _fitted(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """As large as fits, in the middle of black."""
    scale = min(Fraction(size[0], picture.shape[0]), Fraction(size[1], picture.shape[1]))
    height, width = (max(1, min(limit, round(scale * side))) for limit, side in zip(size, picture.shape, strict=False))
    source = VideoFrame.from_ndarray(picture, format="rgb24")
    part = source.reformat(width=width, height=height, interpolation="BICUBIC").to_ndarray(format="rgb24")
    if (height, width) == size:
        return part
    canvas = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = part
    return canvas
