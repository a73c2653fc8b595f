"""Pictures of what a model answers: K reactions over time, against the speaker and the real listener."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.types import FRAME_RATE, NUM_EXPRESSION

_EXPRESSIONS, _POSES = 3, 1  # channels in a row


def draw_reactions(
    prediction: Float[np.ndarray, "N K T C"],
    speaker: Float[np.ndarray, "N T C"],
    listener: Float[np.ndarray, "N T C"],
    coefficient_names: Sequence[str],
    clip_ids: Sequence[str],
) -> UInt8[np.ndarray, "H W 3"]:
    """A row a clip, a column a channel: those in which its real listener moves most.

    Args:
      prediction: K reactions of each clip, raw.
      speaker: raw.
      listener: the real one, raw.
      coefficient_names: of the channels.
      clip_ids: names of the clips.
    """
    count = len(prediction)
    seconds = np.arange(prediction.shape[2]) / FRAME_RATE
    # Imported when there is something to draw: it takes long, and few starts of a training come here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas by hand: pyplot would keep every figure, and look for a screen.
    figure = Figure(figsize=(4 * (_EXPRESSIONS + _POSES), 2.6 * count + 0.4), dpi=80, layout="constrained")
    axes = figure.subplots(count, _EXPRESSIONS + _POSES, squeeze=False)
    for row in range(count):
        for axis, channel in zip(axes[row], _liveliest(listener[row]), strict=True):
            reactions = axis.plot(seconds, prediction[row, :, :, channel].T, linewidth=0.8, alpha=0.7)
            (real,) = axis.plot(seconds, listener[row, :, channel], color="black", linewidth=1.6)
            (cause,) = axis.plot(seconds, speaker[row, :, channel], color="black", linewidth=1, linestyle=":")
            axis.set_title(coefficient_names[channel], fontsize=9)
            axis.tick_params(labelsize=7)
            axis.margins(x=0)
        axes[row, 0].set_ylabel(clip_ids[row], fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=8)
    figure.legend(
        [real, cause, *reactions[:1]],
        ["real listener", "speaker", f"{prediction.shape[1]} reactions"],
        loc="outside upper right",
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]


def _liveliest(listener: Float[np.ndarray, "T C"]) -> list[int]:
    """Expressions and poses apart, since their units differ."""
    spread = listener.std(axis=0)
    expressions = np.argsort(-spread[:NUM_EXPRESSION], kind="stable")[:_EXPRESSIONS]
    poses = NUM_EXPRESSION + np.argsort(-spread[NUM_EXPRESSION:], kind="stable")[:_POSES]
    return [*map(int, expressions), *map(int, poses)]
