"""Pictures side by side in one, with names."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from reactface_jax.media.video import resize

CELL = 256
"""Height and width of every picture of a layout."""
MAX_COLUMNS = 4
"""Pictures side by side before a new row starts."""


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
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for i, name in enumerate(names):
        corner = (i % columns * CELL + 8, (i // columns + 1) * CELL - 8)
        draw.text(corner, name, "white", font, anchor="lb", stroke_width=2, stroke_fill="black")
    return np.asarray(canvas)
