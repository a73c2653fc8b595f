"""Looking at what was measured: landmarks over the picture beside the 3-D head, and jawOpen beside the sound."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from reactface_jax.media.picture_grid import arrange
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer
from reactface_jax.types import FRAME_RATE

# MediaPipe's numbers of landmarks along the lines that make an expression.
_LINES = {
    "lips": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61),
    "mouth": (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78),
    "eyes": (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    "eyes ": (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263),
    "brows": (70, 63, 105, 66, 107),
    "brows ": (300, 293, 334, 296, 336),
}
_COLOURS = {"lips": "#ff5a5a", "mouth": "#ff5a5a", "eyes": "#5ad1ff", "brows": "#ffd15a"}


def draw_landmarks(
    picture: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 2"] | None
) -> UInt8[np.ndarray, "H W 3"]:
    """Marks the landmarks with dots, and the lips, eyes and brows with lines; says so where there are none."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    if landmarks is None:
        draw.text((8, 8), "face lost: interpolated", "#ff5a5a", stroke_width=2, stroke_fill="black")
        return np.asarray(image)
    for x, y in landmarks.tolist():
        draw.point((x, y), "#b0ffb0")
    for name, line in _LINES.items():
        draw.line([tuple(landmarks[i].tolist()) for i in line], _COLOURS[name.strip()], 1)
    return np.asarray(image)


class Preview:
    """Frames of a preview: for each person the crop with landmarks, and the 3-D head with the same coefficients."""

    def __init__(self, names: Sequence[str]):
        self._labels = [label for name in names for label in (name, f"{name}, 58 coefficients")]
        self._head = HeadRenderer()

    def frame(
        self,
        crops: Sequence[UInt8[np.ndarray, "H W 3"]],
        landmarks: Sequence[Float[np.ndarray, "478 2"] | None],
        coefficients: Sequence[Float[np.ndarray, "58"]],
    ) -> UInt8[np.ndarray, "256 W2 3"]:
        cells = []
        for picture, points, values in zip(crops, landmarks, coefficients, strict=True):
            cells += [draw_landmarks(picture, points), self._head.render(values)]
        return arrange(cells, self._labels)

    def close(self) -> None:
        self._head.close()


def check_previews() -> None:
    """Raises `UserError` if this machine can't draw the head: better before people are measured than after."""
    HeadRenderer((64, 64)).close()


def jaw_figure(jaws: Mapping[str, Float[np.ndarray, " T"]], loudness: Float[np.ndarray, " T"], title: str) -> bytes:
    """A PNG: each person's jawOpen over the sound's envelope."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.2 * len(jaws)), layout="constrained")
    FigureCanvasAgg(figure)
    time = np.arange(len(loudness)) / FRAME_RATE
    rows = figure.subplots(len(jaws), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, jaw) in zip(rows, jaws.items(), strict=True):
        axes.fill_between(
            time, loudness / max(float(loudness.max()), 1e-9) * 0.5, color="0.85", label="sound, half size"
        )
        axes.plot(time, jaw, color="C3", label="jawOpen")
        axes.set(title=f"{name}: standard deviation {jaw.std():.3f}", ylim=(0, 1))
    rows[0].legend(loc="upper right")
    rows[-1].set_xlabel(f"seconds of {title}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
