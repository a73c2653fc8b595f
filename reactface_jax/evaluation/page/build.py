"""From an evaluation to its page: head, clips and recordings."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from reactface_jax.evaluation.attention_maps import AttentionMap
from reactface_jax.evaluation.page.contents import Contents, Shown, choose_clips
from reactface_jax.evaluation.page.head import PageHead
from reactface_jax.evaluation.page.html import write_page
from reactface_jax.evaluation.report import Report
from reactface_jax.types import Clips


def build_page(
    report: Report,
    clips: Clips,
    reactions: Mapping[str, Float[np.ndarray, "N K T C"]],
    out: Path,
    console: Console,
    count: int,
    recording: Callable[[int], bytes] | None = None,
    attention: Iterable[AttentionMap] = (),
    head: PageHead | None = None,
    no_head: str = "",
) -> str:
    """Writes report.html.

    Args:
      report: the tables.
      clips: the split.
      reactions: by method, those that are played.
      out: folder.
      console: of the progress bar.
      count: clips that are played.
      recording: an mp4 of a clip's real people; None where there are none.
      attention: of the model.
      head: that shows the coefficients, from `head_for`.
      no_head: why there is none.

    Returns:
      What the page holds, for a message.

    Raises:
      UserError: a file can't be read or written.
    """
    chosen = choose_clips(report.reference, count, seed=0)
    shown = [
        Shown(clip, why, recording and recording(clip))
        for clip, why in track(chosen, "writing the page", console=console, transient=True)
    ]
    size = write_page(report, Contents(clips, reactions, shown, head, no_head, tuple(attention)), out)
    return f"{len(shown)} clips to play, {size / 2**20:.1f} MiB, one file"
