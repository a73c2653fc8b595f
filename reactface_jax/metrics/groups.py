"""Which clips belong together: what is resampled for an interval, and left out of comparisons by chance."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def by_name(names: Sequence[str]) -> Int[np.ndarray, " N"]:
    """The same number for the same name."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def sessions(clip_ids: Sequence[str]) -> Int[np.ndarray, " N"]:
    """Clips of one meeting of two people, by REACT2023's paths (site/session/role/number).

    Where ids have another form, a clip and the same with its roles swapped belong together, which lie half the clips
    apart; in an odd number of clips each is by itself.
    """
    if _are_paths(clip_ids):
        return by_name(["/".join(clip.split("/")[:2]) for clip in clip_ids])
    count = len(clip_ids)
    return np.arange(count) % (count // 2 if count % 2 == 0 else count)


def unit_of(clip_ids: Sequence[str]) -> str:
    """What one group of `sessions` is, in the plural."""
    if _are_paths(clip_ids):
        return "conversations"
    return "clips" if len(clip_ids) % 2 else "pairs of a clip and the one half the clips later"


def _are_paths(clip_ids: Sequence[str]) -> bool:
    return all(clip.count("/") >= 2 for clip in clip_ids)
