"""The videos of an answer: the speaker beside all reactions, and each reaction by itself."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.media.picture_grid import arrange, layout_size
from reactface_jax.media.video import VideoWriter
from reactface_jax.rendering.listener_drawers import ListenerDrawer, Renderer

Layout = Literal["grid", "listener", "authors"]


def write_videos(
    folder: Path,
    shown: Iterable[UInt8[np.ndarray, "256 256 3"]],
    audio: Float[np.ndarray, " L"],
    coefficients: Float[np.ndarray, "K T 58"],
    drawers: Mapping[str, ListenerDrawer],
    renderer: Renderer,
    layouts: tuple[Layout, ...],
    labels: bool,
) -> None:
    """Writes all videos at once, frame by frame.

    Args:
      folder: where answer.mp4 (grid), listener_K.mp4 and authors_K.mp4 are written.
      shown: in the speaker's place, a picture a frame.
      audio: of the speaker, 16 kHz.
      coefficients: raw, of the reactions.
      drawers: by renderer; that of the reactions, and for `authors` one of a 3-D face.
      renderer: of the reactions.
      layouts: which videos.
      labels: write names into the pictures.
    """
    num_reactions = len(coefficients)
    reactions = [f"reaction {k + 1}" for k in range(num_reactions)]
    pictures = {name: drawer.pictures(coefficients) for name, drawer in drawers.items()}
    with contextlib.ExitStack() as files:

        def writer(name: str, count: int) -> VideoWriter:
            return files.enter_context(VideoWriter(folder / name, size=layout_size(count), audio=audio))

        def write(writer: VideoWriter, cells: list[np.ndarray], names: list[str]) -> None:
            writer.write(arrange(cells, names if labels else ()))

        grid = writer("answer.mp4", num_reactions + 1) if "grid" in layouts else None
        singles = [writer(f"listener_{k + 1}.mp4", 1) for k in range(num_reactions) if "listener" in layouts]
        threes = [writer(f"authors_{k + 1}.mp4", 3) for k in range(num_reactions) if "authors" in layouts]
        solid = next((name for name in drawers if name != "pirender"), None)
        for picture in shown:
            faces = {name: next(iterator) for name, iterator in pictures.items()}
            main = faces[renderer]
            if grid is not None:
                write(grid, [picture, *main], ["speaker", *reactions])
            for k, file in enumerate(singles):
                write(file, [main[k]], [reactions[k]])
            for k, file in enumerate(threes):
                assert solid is not None
                write(file, [picture, faces[solid][k], main[k]], ["speaker", "3-D", reactions[k]])
