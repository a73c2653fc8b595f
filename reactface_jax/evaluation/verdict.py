"""One plain sentence or two on how good a method is: against the delayed mirror, the ceiling and chance."""

import math
from collections.abc import Sequence

from reactface_jax.evaluation.rows import Row
from reactface_jax.metrics.bootstrap import differ

MIRROR = "delayed-mirror"
_CEILINGS = {"planted-sampler": "the planted sampler's", "GT": "the real listener's"}
_ANSWERED = {"smile_answered": "smiles", "brow_raise_answered": "raised brows", "frown_answered": "frowns"}


def verdict(rows: Sequence[Row], judged: Row) -> str:
    """What a reader who knows none of the figures should take away, of clean mode.

    Args:
      rows: of the table; what is not there is not mentioned.
      judged: one of them.
    """
    by_name = {row.name: row for row in rows if row is not judged}
    own = _corr(judged)
    parts = []
    if (mirror := by_name.get(MIRROR)) is not None:
        parts.append(f"{_relation(judged, mirror)} the delayed mirror's {_corr(mirror):.2f}, which needs no learning")
    ceiling = next((name for name in _CEILINGS if name in by_name), None)
    if ceiling is not None and (reached := _corr(by_name[ceiling])) > 0:
        parts.append(f"{own / reached:.0%} of {_CEILINGS[ceiling]} {reached:.2f}")
    chance = judged.scores["clean"].get("FRCorr_random_neighbours", math.nan)
    if not math.isnan(chance):
        parts.append(f"by chance it would be {chance:.2f}")
    sentences = [f"{judged.name} reaches FRCorr {own:.2f}" + (f": {'; '.join(parts)}." if parts else ".")]
    shares = {word: judged.scores["clean"].get(name, math.nan) for name, word in _ANSWERED.items()}
    said = [f"{share:.0%} of the {word}" for word, share in shares.items() if not math.isnan(share)]
    if said:
        sentences.append(f"Of the speaker's expressions it answers {_listed(said)}.")
    return " ".join(sentences)


def _corr(row: Row) -> float:
    return row.scores["clean"]["FRCorr"]


def _relation(one: Row, other: Row) -> str:
    drawn, others = (row.draws.get("clean", {}).get("FRCorr") for row in (one, other))
    differs = None if drawn is None or others is None else differ(drawn, others)
    if differs is None:
        return "not tested against"
    if not differs:
        return "not significantly different from"
    return "above" if _corr(one) > _corr(other) else "below"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
