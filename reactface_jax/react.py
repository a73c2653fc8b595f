"""Answers a real video: finds the speaker's face, generates K reactions and shows them beside it as 3-D heads.

    python -m reactface_jax.react --speaker clip.mp4 --checkpoint RUN --out answer.mp4

Frames of the video are decoded three times (faces, model input, answer) and never held all at once.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

from reactface_jax.audio import normalise, read_audio_or_none
from reactface_jax.checkpoint import Run, load_run
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.face import (
    CROP_SIZE,
    check_choice,
    choose,
    crop,
    find_faces,
    link,
    longest_loss,
    model_frame,
    steady_crops,
)
from reactface_jax.generation import Protocol, generate, protocol_of
from reactface_jax.models import build_model
from reactface_jax.rendering.head import HeadRenderer
from reactface_jax.types import FRAME_RATE, NUM_EXPRESSION, SAMPLE_RATE, SAMPLES_PER_FRAME
from reactface_jax.video import VideoWriter, check_output_folder, iterate_video

T = TypeVar("T")

_MAX_COLUMNS = 4  # pictures side by side before a new row starts


def react(
    speaker: Path,
    checkpoint: Path,
    out: Path,
    num_reactions: int = 3,
    face: str = "largest",
    protocol: Protocol | None = None,
    seed: int = 0,
    labels: bool = True,
) -> tuple[Path, Path]:
    """Answers a speaker's video with listener faces.

    Args:
      speaker: a video of any size, frame rate and length that shows a face; without a sound track it counts as silent.
      checkpoint: the run directory of a training.
      out: the mp4 to write; the coefficients go beside it as .npy, raw, [K, T, 58] at 25 fps.
      num_reactions: K, how many different reactions.
      face: whose face, if there are several: largest, left, right, or a number counted from the left.
      protocol: clip, prefix, window or stream; the run's own by default. prefix takes long for long videos, window and
        stream do not; stream is for causal models.
      seed: of the noise that makes reactions differ.
      labels: write "speaker" and "reaction 1" … into the pictures.

    Returns:
      The two files.

    Raises:
      UserError: the video, the checkpoint or an option is unusable. Nothing is written then.
    """
    _check(speaker, out, num_reactions, face)
    run = load_run(checkpoint)
    audio = read_audio_or_none(speaker)
    # Before the long part, so that a machine that can't draw says so at once.
    renderer = HeadRenderer((CROP_SIZE, CROP_SIZE), names=run.coefficient_names[:NUM_EXPRESSION])
    try:
        squares = _follow_face(speaker, face)
        _tell_sound(speaker, audio, len(squares))
        audio = _fit(np.zeros(0, np.float32) if audio is None else audio, len(squares))
        coefficients = _generate(run, speaker, squares, audio, protocol, num_reactions, seed)
        return _write(out, speaker, squares, audio, coefficients, renderer, labels)
    finally:
        renderer.close()


def _check(speaker: Path, out: Path, num_reactions: int, face: str) -> None:
    if num_reactions < 1:
        raise UserError(f"--num-reactions {num_reactions} must be at least 1")
    if out.suffix.lower() != ".mp4":
        raise UserError(f"--out {out} must end in .mp4")
    if out.resolve() == speaker.resolve():
        raise UserError(f"--out {out} would overwrite the speaker's video; give another name")
    check_output_folder(out)
    check_choice(face)


def _follow_face(speaker: Path, which: str) -> Float[np.ndarray, "T 3"]:
    """The square around the chosen face in every frame."""
    found = find_faces(_progress(iterate_video(speaker), "finding the face"))
    chosen, num_frames = choose(link(found), which, str(speaker)), len(found)
    print(f"{speaker}: {num_frames / FRAME_RATE:.1f} s, {num_frames} frames at {FRAME_RATE} fps")
    lost = num_frames - len(chosen.boxes)
    if lost:
        longest = longest_loss(chosen, num_frames) / FRAME_RATE
        print(f"the face is lost in {lost} frames, for {longest:.1f} s at most; the crop stays where it was")
    return steady_crops(chosen, num_frames)


def _tell_sound(speaker: Path, audio: Float[np.ndarray, " L"] | None, num_frames: int) -> None:
    if audio is None:
        print(f"{speaker} has no sound track: the speaker counts as silent")
        return
    missing = num_frames / FRAME_RATE - len(audio) / SAMPLE_RATE
    if missing > 0.5:
        print(f"the sound ends {missing:.1f} s before the picture: silence from there")


def _fit(audio: Float[np.ndarray, " l"], num_frames: int) -> Float[np.ndarray, " L"]:
    """Cuts or fills up the sound to the length of the picture."""
    length = num_frames * SAMPLES_PER_FRAME
    return np.pad(audio[:length], (0, max(0, length - len(audio))))


def _progress(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """A progress bar on a terminal, nothing in a log."""
    return track(items, what, total=total, transient=True, disable=not sys.stdout.isatty())


def _crops(speaker: Path, squares: Float[np.ndarray, "T 3"]) -> Iterator[UInt8[np.ndarray, "256 256 3"]]:
    for frame, square in zip(iterate_video(speaker), squares, strict=True):
        yield crop(frame, square)


def _generate(
    run: Run,
    speaker: Path,
    squares: Float[np.ndarray, "T 3"],
    audio: Float[np.ndarray, " L"],
    protocol: Protocol | None,
    num_reactions: int,
    seed: int,
) -> Float[np.ndarray, "K T 58"]:
    """Raw coefficients of the reactions."""
    config = run.config
    protocol = protocol or protocol_of(config)
    video = np.stack([model_frame(picture, config.data.image_size) for picture in _crops(speaker, squares)])
    start = time.perf_counter()
    reactions = generate(
        build_model(config.model),
        run.params,
        jnp.asarray(video)[None] / 127.5 - 1.0,
        normalise(audio)[None],
        protocol=protocol,
        num_reactions=num_reactions,
        key=jax.random.key(seed),
    )
    coefficients = np.asarray(reactions[0], np.float32) + run.mean_face
    seconds = time.perf_counter() - start
    print(f"{num_reactions} reaction(s) by step {run.step}, protocol {protocol}, in {seconds:.1f} s with compilation")
    return coefficients


def _write(
    out: Path,
    speaker: Path,
    squares: Float[np.ndarray, "T 3"],
    audio: Float[np.ndarray, " L"],
    coefficients: Float[np.ndarray, "K T 58"],
    renderer: HeadRenderer,
    labels: bool,
) -> tuple[Path, Path]:
    """Writes the video and the coefficients, both whole or neither."""
    num_reactions, num_frames, _ = coefficients.shape
    names = ["speaker", *(f"reaction {k + 1}" for k in range(num_reactions))] if labels else []
    columns = min(num_reactions + 1, _MAX_COLUMNS)
    rows = -(-(num_reactions + 1) // columns)
    arrays = out.with_suffix(".npy")
    aside = arrays.with_name(f".{arrays.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as file:
            np.save(file, coefficients)
        with VideoWriter(out, size=(rows * CROP_SIZE, columns * CROP_SIZE), audio=audio) as writer:
            frames = zip(_crops(speaker, squares), coefficients.swapaxes(0, 1), strict=True)
            for picture, faces in _progress(frames, "drawing", num_frames):
                writer.write(_grid([picture, *(renderer.render(face) for face in faces)], names, rows, columns))
        aside.replace(arrays)
    finally:
        aside.unlink(missing_ok=True)
    print(f"wrote {out}: the speaker and {num_reactions} reaction(s), {num_frames / FRAME_RATE:.1f} s with sound")
    print(f"wrote {arrays}: raw coefficients {list(coefficients.shape)}")
    return out, arrays


def _grid(
    pictures: list[UInt8[np.ndarray, "256 256 3"]], names: list[str], rows: int, columns: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Places pictures from left to right and from top to bottom, names in their lower left corners."""
    canvas = Image.new("RGB", (columns * CROP_SIZE, rows * CROP_SIZE))
    for i, picture in enumerate(pictures):
        canvas.paste(Image.fromarray(picture), (i % columns * CROP_SIZE, i // columns * CROP_SIZE))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for i, name in enumerate(names):
        corner = (i % columns * CROP_SIZE + 8, (i // columns + 1) * CROP_SIZE - 8)
        draw.text(corner, name, "white", font, anchor="lb", stroke_width=2, stroke_fill="black")
    return np.asarray(canvas)


@reports_user_errors
def main() -> None:
    """Runs `react` on the command line's words."""
    tyro.cli(react, description=__doc__)


if __name__ == "__main__":
    main()
