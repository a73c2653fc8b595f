"""The rows of a table, measured one after the other, with a bar that shows the time left."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reactface_jax.evaluation import rows as evaluation
from reactface_jax.evaluation.rows import Row
from reactface_jax.metrics import Mode
from reactface_jax.metrics.video_distance import VideoDistance
from reactface_jax.types import Clips

Realism = Callable[[Float[np.ndarray, "N K T C"], Callable[[], None]], Mapping[Mode, VideoDistance]]
"""FRRea of a prediction; it calls the function that it is given after every video."""


def measure_methods(
    methods: Iterable[tuple[str, Float[np.ndarray, "N K T C"]]],
    count: int,
    clips: Clips,
    console: Console,
    seed: int = 0,
    realism: Realism | None = None,
    num_videos: int = 0,
) -> list[Row]:
    """Measures methods, a row each.

    Args:
      methods: names and reactions; only one method's reactions are held at a time.
      count: number of methods.
      clips: the split.
      console: of the bar.
      seed: of the random-neighbour control.
      realism: measures FRRea; None leaves it out.
      num_videos: videos that `realism` compares for each method.
    """
    rows = []
    with progress_bar("measuring", count * (len(clips.speaker) + num_videos), console) as advance:
        for name, prediction in methods:
            row = evaluation.evaluate(name, prediction, clips, seed, advance=advance)
            rows.append(row if realism is None else replace(row, realism=realism(prediction, advance)))
    return rows


@contextlib.contextmanager
def progress_bar(what: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    """A bar with an estimate of the time left; gives the function that advances it by one."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
