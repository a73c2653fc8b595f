"""Rows of what can be reached on made conversations: what the planted rule itself makes of the clips' scripts."""

import importlib
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.evaluation.split import SplitPeople

OTHER_TAKE = "other-take"
"""Another take's real listener: compared with the clips' own only, since it is among the neighbours."""
CEILINGS = (OTHER_TAKE, "planted-sampler", "planted-expectation")


def ceilings(
    truth: Path, people: SplitPeople, num_reactions: int, compared_with: str | None
) -> dict[str, Float[np.ndarray, "N K T C"]]:
    """Reactions of `CEILINGS` to a split; without `OTHER_TAKE` where scripts have one take.

    Args:
      truth: dyads.json of the conversations.
      people: of the split.
      num_reactions: K, of the sampler.
      compared_with: the row that others are to be compared with, as the command line says.

    Raises:
      UserError: the file does not fit, or the row to compare with is a ceiling that these conversations do not have.
    """
    rule = importlib.import_module("data_pipeline.dyads.ceilings")  # by name: as with shards, it lives on another floor
    made: list[tuple[str, np.ndarray]] = rule.ceiling_rows(
        truth, people.split, num_reactions, people.clips.clip_ids, people.num_frames
    )
    rows = dict(made)
    if compared_with in CEILINGS and compared_with not in rows:
        raise UserError(
            f"--compare-with {compared_with} needs scripts that were played several times, and these were played once; "
            "give another row"
        )
    return rows
