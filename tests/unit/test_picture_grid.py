"""Pictures side by side with names."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reactface_jax.media.picture_grid import CELL, arrange


def test_names_stand_in_their_cells_as_pillow_writes_them():
    pictures = list(np.random.default_rng(0).integers(0, 256, (6, CELL, CELL, 3), dtype=np.uint8))
    names = [
        "speaker",
        "reaction 1",
        "reaction 22",
        "longer than a cell is wide, so that it ends at its edge",
        "gyp|,Q",
    ]
    expected = np.zeros((2 * CELL, 4 * CELL, 3), np.uint8)
    for i, picture in enumerate(pictures):
        cell = Image.fromarray(picture)
        if i < len(names):
            draw, font = ImageDraw.Draw(cell), ImageFont.load_default(14)
            draw.text((8, CELL - 8), names[i], "white", font, anchor="lb", stroke_width=2, stroke_fill="black")
        row, column = divmod(i, 4)
        expected[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = cell
    np.testing.assert_array_equal(arrange(pictures, names), expected)
