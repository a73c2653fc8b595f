"""The rows of a table, measured one after the other, with a bar that shows the time left."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reactface_jax.evaluation.rows import Row, evaluate, known_of
from reactface_jax.metrics import Mode
from reactface_jax.metrics.reacting import Known
from reactface_jax.metrics.video_distance import VideoDistance
from reactface_jax.types import Clips

Realism = Callable[[Float[np.ndarray, "N K T C"], Callable[[], None]], Mapping[Mode, VideoDistance]]
"""FRRea of a prediction; it calls the function that it is given after every video."""


def measure_methods(
    methods: Iterable[tuple[str, Float[np.ndarray, "N K T C"]]],
    count: int,
    clips: Clips,
    console: Console,
    known: Known | None = None,
    own_only: Collection[str] = (),
    realism: Realism | None = None,
    num_videos: int = 0,
    windows: Mapping[str, int] | None = None,
) -> list[Row]:
    """Measures methods, a row each.

    Args:
      methods: names and reactions; only one method's reactions are held at a time.
      count: number of methods.
      clips: the split.
      console: of the bar.
      known: what else is known of it.
      own_only: methods that are compared with the clips' own listeners, since their answers are among the neighbours.
      realism: measures FRRea; None leaves it out.
      num_videos: videos that `realism` compares for each method.
      windows: of the methods that have their own (frames); the others are looked at in those of `known`.
    """
    known, windows = known or known_of(clips), windows or {}
    rows = []
    with progress_bar("measuring", count * (len(clips.speaker) + num_videos), console) as advance:
        for name, prediction in methods:
            compared = clips
            if name in own_only:
                compared = replace(clips, neighbours=np.eye(len(clips.neighbours), dtype=bool))
            looked_at = replace(known, window=windows.get(name, known.window))
            row = evaluate(name, prediction, compared, looked_at, advance=advance)
            rows.append(row if realism is None else replace(row, realism=realism(prediction, advance)))
    return rows


@contextlib.contextmanager
def progress_bar(what: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    """A bar with an estimate of the time left; gives the function that advances it by one."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
