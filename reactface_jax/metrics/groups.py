"""Which clips belong together: what is resampled for an interval, and left out of comparisons by chance."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

_SEAMLESS = re.compile(r"(V\d+_S\d+)_I\d+_P\d+A?(/|$)")
_MARS = re.compile(r"(session\d+)/.+/(speaker|listener)/[^/]+")


def by_name(names: Sequence[str]) -> Int[np.ndarray, " N"]:
    """The same number for the same name."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def sessions(clip_ids: Sequence[str]) -> Int[np.ndarray, " N"]:
    """Clips of one meeting of two people, by the clips' names.

    A name's last two parts are a person and a number, those before them the meeting: site/session/role/number in
    REACT2023's trees, conversation/person/second in open data. In UDIVA/task/session/role/number, Seamless's
    V.._S.._I.._P../second and MARS's session/clip/role/second it is the session, with all its tasks, prompts or clips.

    Where a name has another form, a clip and the same with its roles swapped belong together, which lie half the clips
    apart; in an odd number of clips each is by itself.
    """
    meetings = [_meeting(clip) for clip in clip_ids]
    if all(meetings):
        return by_name(meetings)
    count = len(clip_ids)
    return np.arange(count) % (count // 2 if count % 2 == 0 else count)


def unit_of(clip_ids: Sequence[str]) -> str:
    """What one group of `sessions` is, in the plural."""
    if all(_meeting(clip) for clip in clip_ids):
        return "conversations"
    return "clips" if len(clip_ids) % 2 else "pairs of a clip and the one half the clips later"


def _meeting(clip: str) -> str:
    """The part of a clip's name that all clips of a meeting share; empty where the name has another form."""
    if match := _SEAMLESS.match(clip) or _MARS.fullmatch(clip):
        return match[1]
    parts = clip.split("/")
    if len(parts) == 5 and parts[0].upper() == "UDIVA":
        return f"{parts[0]}/{parts[2]}"
    return "/".join(parts[:-2])
