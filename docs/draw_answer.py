"""Draws docs/images/react.webp, the packaged listener answering a real speaker.

    reactface sample-clip --out speaker.mp4
    python docs/draw_answer.py speaker.mp4 --face right

The clip is not this project's to show, so its speaker is drawn as a 3-D head, too: moved by what MediaPipe measures of
him, as are the coefficients that the listener answers. Below is how loud his voice is.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reactface_jax.errors import reports_user_errors
from reactface_jax.extraction.people import find_people, measure
from reactface_jax.media.audio import read_audio
from reactface_jax.media.face import choose
from reactface_jax.methods.measured_speaker import listen
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer
from reactface_jax.types import FRAME_RATE, NUM_EXPRESSION, SAMPLES_PER_FRAME

PICTURE = Path(__file__).parent / "images" / "react.webp"

_SIDE, _STRIP = 208, 34  # pixels
_EVERY = 2  # of 25 frames a second
_GROUND, _BAR, _HEARD = (31, 33, 38), (84, 92, 104), (116, 185, 222)
SPEAKER = Look(skin=(0.45, 0.31, 0.24), lips=(0.45, 0.23, 0.22), hair=(0.12, 0.1, 0.1), shirt=(0.30, 0.14, 0.16))


def place(measured: np.ndarray) -> np.ndarray:
    """The measured head in the middle of the picture: what moves is kept, where he sat is not. [T, 58]"""
    placed = measured.copy()
    placed[:, NUM_EXPRESSION:] += NEUTRAL[NUM_EXPRESSION:] - np.median(measured[:, NUM_EXPRESSION:], axis=0)
    return placed


def loudness(sound: np.ndarray, num_frames: int) -> np.ndarray:
    """Of each frame, from 0 (45 dB below the loudest) to 1. [T]"""
    frames = sound[: num_frames * SAMPLES_PER_FRAME].reshape(num_frames, SAMPLES_PER_FRAME)
    energy = np.square(frames).mean(1)
    return np.clip(1 + 10 * np.log10(np.maximum(energy / energy.max(), 1e-12)) / 45, 0, 1)


def pictures(speaker: np.ndarray, reactions: np.ndarray, heights: np.ndarray) -> Iterator[Image.Image]:
    """A picture of every second frame: the speaker, the reactions, and the voice up to then below them."""
    people = [speaker, *reactions]
    names = ["speaker", *(f"reaction {k + 1}" for k in range(len(reactions)))]
    heads = [HeadRenderer((_SIDE, _SIDE), look, samples=4) for look in (SPEAKER, *[Look()] * len(reactions))]
    font = ImageFont.load_default(12)
    width, bottom = _SIDE * len(people), _SIDE + _STRIP - 4
    for frame in range(0, len(speaker), _EVERY):
        canvas = Image.new("RGB", (width, _SIDE + _STRIP), _GROUND)
        draw = ImageDraw.Draw(canvas)
        for column, (head, course, name) in enumerate(zip(heads, people, names, strict=True)):
            canvas.paste(Image.fromarray(head.render(course[frame])), (column * _SIDE, 0))
            draw.text((column * _SIDE + 6, _SIDE - 8), name, "white", font, "ls", stroke_width=2, stroke_fill="black")
        for i, height in enumerate(heights):
            left = 6 + i * (width - 12) / len(heights)
            draw.line([left, bottom, left, bottom - 1 - 24 * height], _HEARD if i <= frame else _BAR, 2)
        yield canvas
    for head in heads:
        head.close()


@reports_user_errors
def main() -> None:
    """Draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--face", default="largest")
    parser.add_argument("--out", type=Path, default=PICTURE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quality", type=int, default=60)
    arguments = parser.parse_args()
    tracks, num_frames = find_people(arguments.clip)
    track = choose(tracks, arguments.face, str(arguments.clip))
    (person,) = measure(arguments.clip, [track], num_frames)
    sound = np.resize(np.pad(read_audio(arguments.clip), (0, SAMPLES_PER_FRAME)), num_frames * SAMPLES_PER_FRAME)
    reactions = listen(load_pretrained("listener"), person, sound, 3, arguments.seed)
    first, *others = pictures(place(person.coefficients), reactions, loudness(sound, num_frames))
    options = {"duration": 1000 * _EVERY // FRAME_RATE, "loop": 0, "quality": arguments.quality, "method": 4}
    first.save(arguments.out, save_all=True, append_images=others, **options)
    print(f"{arguments.out}: {len(others) + 1} pictures, {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
