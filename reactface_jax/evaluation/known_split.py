"""Everything that is known of a split of shards beyond its coefficients, for the rows and for their figures."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from reactface_jax.evaluation.heard import Voices, hear
from reactface_jax.evaluation.planted_truth import read_truth
from reactface_jax.evaluation.reference_rows import Training
from reactface_jax.methods import Inputs
from reactface_jax.metrics.groups import sessions
from reactface_jax.metrics.reacting import Known
from reactface_jax.metrics.reaction_gain import fit
from reactface_jax.types import Clips

_TRAINING_CLIPS = 300
"""To which linear rows and the reaction gain are fitted; evenly chosen."""


class KnownSplit(NamedTuple):
    """Of the split that is evaluated, and of training clips."""

    known: Known
    inputs: Inputs
    """What methods get to see and hear."""
    training_speakers: Inputs
    training_listeners: Float[np.ndarray, "M T C"]


def know_split(shards: Voices, split: str, clips: Clips, window: int, truth: Path | None) -> KnownSplit:
    """Reads voices and, of made conversations, the planted truth; fits the reaction gain to the training split.

    Args:
        shards: the data.
        split: that is evaluated.
        clips: its coefficients.
        window: of the model, in which rows that have none are looked at (frames).
        truth: dyads.json; None where nothing is planted.

    Raises:
        UserError: the truth is not of this split, or the shards do not deliver all clips.
    """
    num_frames = clips.speaker.shape[1]
    heard = hear(shards, split, num_frames)
    speaker, listener = shards.coefficients("train")
    training_frames = min(num_frames, speaker.shape[1])
    training = hear(shards, "train", training_frames, _TRAINING_CLIPS)
    speaker, listener = (np.asarray(people[training.rows, :training_frames]) for people in (speaker, listener))
    planted = None if truth is None else read_truth(truth, split, clips.clip_ids, num_frames)
    known = Known(
        groups=sessions(clips.clip_ids) if planted is None else planted.groups,
        names=clips.coefficient_names,
        listening=heard.listening if planted is None else planted.listening,
        events=None if planted is None else planted.events,
        own_events=None if planted is None else planted.own_events,
        sound=heard.features(),
        foresight=fit(speaker, listener, training.features()),
        window=window,
    )
    inputs = Inputs(clips.speaker, heard.audio)
    return KnownSplit(known, inputs, Inputs(speaker, training.audio), listener)


def all_pairs(shards: Voices, num_frames: int, *, with_sound: bool) -> Training:
    """Every clip of the training split, for rows that search in all of them.

    Args:
        shards: the data.
        num_frames: of each clip, at most.
        with_sound: read the voices too, 32 KB a second.

    Raises:
        UserError: the shards do not deliver all clips.
    """
    speaker, listener = (np.asarray(people[:, :num_frames]) for people in shards.coefficients("train"))
    audio = hear(shards, "train", speaker.shape[1]).audio if with_sound else None
    return Training(listener, Inputs(speaker, audio))
