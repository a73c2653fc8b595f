"""What a report's headings and marks mean, what its intervals are over, and in which windows movement was looked at."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from reactface_jax.metrics.groups import unit_of
from reactface_jax.metrics.synchrony import SHORTEST

_COLUMNS = (
    "listening: FRCorr over the frames in which the speaker has the floor. by chance: FRCorr against as many "
    "inappropriate reactions as there are appropriate ones, what the best of many gives for free. smiles, brows, "
    "frowns, turns: share of the speaker's that are answered, with the delay of the peaks and its standard "
    "deviation (frames, 25 a second). offset: share of FRDiv that is constant over the clip. speaker share: 1 - "
    "FRDiv / FRDvs, how much of the diversity depends on the speaker. uncalled: smiles, raised brows and frowns a "
    "second that no event explains. gain: how much better the next frame is foretold from the right speaker's "
    "past than from another's, and p, by permutation. smile lag: frames by which smiles follow the speaker's, and "
    "their correlation r there. NaN: share of reactions that have no correlation at some lag, since a channel is "
    "constant or the clip is shorter than {shortest} frames; paper mode's offset is then that lag, mostly 49. "
    "inside: share of the movement within {windows}. border: change at window borders by change "
    "elsewhere. stillness: movement where all appropriate listeners are still. motion: Fréchet distance of pieces "
    "of motion, and its floor, that of real people. FPS: reaction frames a second, those of all reactions "
    "counted, without rendering."
)
RESAMPLED = "resampled"
"""The entry of a report's data that says what its intervals are over."""
REALISM = "FRRea"
"""The entry that says how FRRea was measured."""
_NOTHING = "nothing, since all clips are one group"


def resampled(groups: Int[np.ndarray, " N"], clip_ids: Sequence[str], *, scripts: bool) -> str:
    """What intervals are over, such as "20 conversations".

    Args:
      groups: the same number for clips that are drawn together.
      clip_ids: by which they were put together.
      scripts: they were not, but by the scripts of made conversations.
    """
    count, unit = len(np.unique(groups)), "scripts" if scripts else unit_of(clip_ids)
    return f"{count} {unit}" if count > 1 else _NOTHING


def legend_of(reference: str, mark: str, windows: Mapping[str, int | None], over: str | None) -> str:
    """The text below the tables.

    Args:
      reference: the row that the others are compared with.
      mark: of figures that do not differ significantly.
      windows: by the row, the frames of the windows in which it was looked at; None where that is not known.
      over: from `resampled`; None where that is not known.
    """
    columns = _COLUMNS.format(windows=_windows(windows), shortest=SHORTEST)
    if over == _NOTHING:
        return f"{columns} Intervals and tests need several conversations; here all clips are one group."
    over = over or "conversations (in made ones scripts)"
    return (
        f"{columns} Intervals: 95 %, by resampling {over} 1000 times; {mark} marks figures that do not differ "
        f"significantly from {reference}'s, by the paired difference on the same resampled clips."
    )


def _windows(windows: Mapping[str, int | None]) -> str:
    """Of most rows, which have the first one's; then those of the others."""
    usual = next(iter(windows.values()), None)
    if usual is None:
        return "the model's windows"
    others = ", ".join(f"{name} {frames}" for name, frames in windows.items() if frames != usual)
    return f"windows of {usual} frames" + (f" ({others})" if others else "")
