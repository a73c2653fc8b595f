"""What the rows of the table answer to a real person: smile, jaw and nod of three reactions each, as a picture.

    python benchmarks/table_picture.py --clip CLIP.mp4 --runs runs/table/zhou --out docs/images/table_rows.png

The speaker's coefficients are measured by MediaPipe and his face is cut out of the clip, as `reactface react` does.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import find_people, measure
from reactface_jax.files import replacing
from reactface_jax.media.audio import read_audio
from reactface_jax.media.face import choose, crop, model_frame
from reactface_jax.media.video import iterate_video
from reactface_jax.methods.answer_video import answer_video, check_can_measure
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.trained import make_trained
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME
from reactface_jax.weights.run import load_run

SHOWN = {"smile": ("mouthSmile",), "jaw open": ("jawOpen",), "nod (rad)": ("rotation_x",)}
"""Titles, and what the names of the channels begin with whose mean is drawn, above each reaction's own median."""


@dataclass(frozen=True)
class Arguments:
    """The clip, who answers it, and where the picture goes."""

    clip: Path
    runs: tuple[Path, ...]
    out: Path
    face: str = "right"
    """Whose face is the speaker's, as of `reactface react`."""
    reactions: int = 3


def main(arguments: Arguments) -> None:
    """Writes the picture."""
    tracks, num_frames = find_people(arguments.clip)
    (person,) = measure(arguments.clip, [choose(tracks, arguments.face)], num_frames)
    sound = read_audio(arguments.clip)
    sound = np.pad(sound, (0, max(0, num_frames * SAMPLES_PER_FRAME - len(sound))))[: num_frames * SAMPLES_PER_FRAME]
    rows = {"the speaker": person.coefficients[None]}
    for run in arguments.runs:
        found = load_run(run)
        method = make_trained(found.config, Variables(found.params, found.method_state), found.mean_face)
        check_can_measure(method, COEFFICIENT_NAMES)
        squares = zip(iterate_video(arguments.clip), person.squares, strict=True)
        frames = (model_frame(crop(picture, square), method.image_size) for picture, square in squares)
        rows[method.name] = answer_video(method, frames, sound, person, arguments.reactions, seed=0)
    figure = Figure(figsize=(9, 1.3 * len(rows) + 0.4), dpi=70, layout="constrained")
    axes = figure.subplots(len(rows), len(SHOWN), sharex=True, sharey="col", squeeze=False)
    seconds = np.arange(num_frames) / FRAME_RATE
    for row, (name, reactions) in zip(axes, rows.items(), strict=True):
        for axis, channels in zip(row, SHOWN.values(), strict=True):
            axis.plot(seconds, course(reactions, channels).T, linewidth=0.9)
            axis.tick_params(labelsize=7)
            axis.margins(x=0)
        row[0].set_ylabel(name, fontsize=8)
    for axis, title in zip(axes[0], SHOWN, strict=True):
        axis.set_title(title, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=8)
    FigureCanvasAgg(figure)
    with replacing(arguments.out) as file:
        figure.savefig(file, format="png")


def course(reactions: Float[np.ndarray, "K T 58"], starts: tuple[str, ...]) -> Float[np.ndarray, "K T"]:
    """The mean of some channels, above each reaction's median."""
    channels = [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith(starts)]
    mean = reactions[..., channels].mean(-1)
    return np.asarray(mean - np.median(mean, axis=1, keepdims=True))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
