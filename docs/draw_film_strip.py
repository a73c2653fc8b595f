"""Draws docs/images/film_strip.png: two real people, and what the packaged listener answers them.

    reactface sample-clip --out speaker.mp4
    python -m docs.draw_film_strip speaker.mp4

The clip has a talking person on the right and a silent one on the left. Above, the talking one; below, the silent one,
to whose measured face a smile is added, as in benchmarks/listener_people.py. The people are drawn as 3-D heads that
move as they were measured; a column is a moment.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.listener_people import with_smile
from docs.draw_answer import SPEAKER, place
from reactface_jax.errors import reports_user_errors
from reactface_jax.extraction.people import find_people, measure
from reactface_jax.media.audio import read_audio
from reactface_jax.media.face import choose
from reactface_jax.methods import Inputs
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME

PICTURE = Path(__file__).parent / "images" / "film_strip.png"

_SIDE, _LEFT, _HEAD = 120, 92, 22  # pixels
_GROUND, _WORDS = (31, 33, 38), (210, 214, 220)
_REACTIONS = 3
_TALKING = (1.6, 5.6, 0.4)
"""First and last moment that is shown of the talking person, and the time between two (s)."""
_SMILING = (3.8, 6.8, 0.3)
_SMILE = (4.0, 0.6)
"""Its start (s) and height."""


def strip(rows: Sequence[np.ndarray], names: Sequence[str], moments: tuple[float, float, float]) -> Image.Image:
    """Rows of heads [T, 58], a column a moment; `moments` are the first, the last and the time between two (s)."""
    first, last, step = moments
    times = np.arange(first, last + step / 2, step)
    picture = Image.new("RGB", (_LEFT + _SIDE * len(times), _HEAD + _SIDE * len(rows)), _GROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for column, time in enumerate(times):
        draw.text((_LEFT + (column + 0.5) * _SIDE, _HEAD - 6), f"{time:.1f} s", _WORDS, font, "ms")
    for row, (course, name) in enumerate(zip(rows, names, strict=True)):
        draw.text((8, _HEAD + (row + 0.5) * _SIDE), name, _WORDS, font, "lm")
        head = HeadRenderer((_SIDE, _SIDE), Look() if row else SPEAKER, samples=4)
        for column, time in enumerate(times):
            shown = Image.fromarray(head.render(course[round(time * FRAME_RATE)]))
            picture.paste(shown, (_LEFT + column * _SIDE, _HEAD + row * _SIDE))
        head.close()
    return picture


@reports_user_errors
def main() -> None:
    """Draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    tracks, num_frames = find_people(arguments.clip)
    silent, talking = (
        person.coefficients
        for person in measure(arguments.clip, [choose(tracks, side) for side in ("left", "right")], num_frames)
    )
    sound = np.resize(np.pad(read_audio(arguments.clip), (0, SAMPLES_PER_FRAME)), num_frames * SAMPLES_PER_FRAME)
    quiet = 1e-3 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    smiling = with_smile(silent, *_SMILE)
    listener, parts = load_pretrained(), []
    for person, heard, moments in ((talking, sound, _TALKING), (smiling, quiet, _SMILING)):
        answers = listener.generate(Inputs(person[None], heard[None]), _REACTIONS, key=jax.random.key(0))[0]
        names = ["talks" if person is talking else "smiles", *(f"reaction {k + 1}" for k in range(_REACTIONS))]
        parts.append(strip([place(person), *answers], names, moments))
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts) + 12), _GROUND)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height + 12
    whole.quantize(128).save(arguments.out, optimize=True)
    print(f"{arguments.out}: {whole.width}x{whole.height}, {arguments.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
