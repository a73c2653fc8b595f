"""Pictures side by side in one, with names."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from reactface_jax.media.video import resize

CELL = 256
"""Height and width of every picture of a layout."""
MAX_COLUMNS = 4
"""Pictures side by side before a new row starts."""
_LABEL = 40
"""Height of a name's strip at the lower edge of a cell."""


def layout_size(count: int) -> tuple[int, int]:
    """Height and width of `count` pictures in rows of at most four."""
    columns = min(count, MAX_COLUMNS)
    return -(-count // columns) * CELL, columns * CELL


def arrange(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str] = ()) -> UInt8[np.ndarray, "H W 3"]:
    """Places pictures of any size from left to right and from top to bottom, names in their lower left corners."""
    height, width = layout_size(len(pictures))
    columns = width // CELL
    canvas = Image.new("RGB", (width, height))
    for i, picture in enumerate(pictures):
        canvas.paste(Image.fromarray(resize(picture, (CELL, CELL))), (i % columns * CELL, i // columns * CELL))
    for i, name in enumerate(names):
        place = (i % columns * CELL, (i // columns + 1) * CELL - _LABEL)
        for colour, mask in zip(("black", "white"), _label(name), strict=True):
            canvas.paste(colour, place, mask)
    return np.asarray(canvas)


@functools.lru_cache(maxsize=256)
def _label(name: str) -> tuple[Image.Image, Image.Image]:
    """Masks of a name's outline and of its letters, of the lower left part of a cell: the same in every frame."""

    def mask(outline: int) -> Image.Image:
        picture = Image.new("L", (CELL, _LABEL))
        font = ImageFont.load_default(14)
        ImageDraw.Draw(picture).text((8, _LABEL - 8), name, 255, font, anchor="lb", stroke_width=outline)
        return picture

    return mask(2), mask(0)
