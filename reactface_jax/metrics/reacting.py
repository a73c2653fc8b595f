"""Does it react? The figures that FRCorr does not give, of one method on one split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from reactface_jax.metrics import diversity
from reactface_jax.metrics.events import Answered, Events, answered, found_events
from reactface_jax.metrics.listening import while_listening
from reactface_jax.metrics.motion_distance import MotionDistance, motion_distance
from reactface_jax.metrics.movement import border_step, inside_windows, stillness
from reactface_jax.metrics.ratio import Ratio, mean_of
from reactface_jax.metrics.reaction_gain import Foresight, Gain, gain


@dataclass(frozen=True)
class Known:
    """What is known of a split beyond coefficients and neighbours; what is None leaves out the figures that need it."""

    groups: Int[np.ndarray, " N"]
    """The same number for clips of one conversation, or of one script in made ones."""
    names: Sequence[str] = ()
    """Of the channels."""
    listening: Bool[np.ndarray, "N T"] | None = None
    """In which frames each clip's listener listens, and reacts to what was said before."""
    events: Events | None = None
    """Planted, of the speakers; None: those found in their channels."""
    own_events: Events | None = None
    """Likewise of the listeners."""
    sound: Float[np.ndarray, "N T F"] | None = None
    """Features of the speakers' voices, as `foresight` was fitted to."""
    foresight: Foresight | None = None
    """Of the training split's people."""
    window: int = 16
    """Frames (0.64 s) whose borders and insides are looked at: the model's."""


@dataclass(frozen=True)
class Reacting:
    """What was measured; ratios can be resampled."""

    ratios: dict[str, Ratio]
    answers: Answered | None
    gain: Gain | None
    motion: MotionDistance


def measure_reacting(
    prediction: Float[np.ndarray, "N K T C"],
    speaker: Float[np.ndarray, "N T C"],
    listener: Float[np.ndarray, "N T C"],
    neighbours: Bool[np.ndarray, "N N"],
    known: Known,
) -> Reacting:
    """Measures a method.

    Args:
        prediction: K reactions to each of N clips, raw.
        speaker: real speakers.
        listener: real listeners.
        neighbours: row i marks the appropriate reactions to speaker i.
        known: of the split.
    """
    reactions = prediction[:, :1] if prediction.strides[1] == 0 else prediction
    within = diversity.within_clips(reactions)
    ratios = {
        "offset_share": Ratio(diversity.offset_within_clips(reactions), within),
        "inside_windows": inside_windows(reactions, known.window),
        "border_step": border_step(reactions, known.window),
        "stillness": stillness(reactions, listener, neighbours),
    }
    if known.listening is not None:
        ratios["FRCorr_listening"] = mean_of(10 * while_listening(reactions, listener, neighbours, known.listening))
    answers = _answers(reactions, speaker, listener, known)
    if answers is not None:
        ratios |= {f"{kind}_answered": share for kind, share in answers.shares.items()}
        ratios |= {"answer_delay": answers.delay, "uncalled_per_second": answers.uncalled}
    found = None
    if known.foresight is not None:
        sound = np.zeros((*speaker.shape[:2], 0), np.float32) if known.sound is None else known.sound
        found = gain(known.foresight, reactions, speaker, sound, known.groups)
        ratios["reaction_gain"] = found.ratio
    return Reacting(ratios, answers, found, motion_distance(reactions, listener, known.groups))


def _answers(
    reactions: Float[np.ndarray, "N K T C"],
    speaker: Float[np.ndarray, "N T C"],
    listener: Float[np.ndarray, "N T C"],
    known: Known,
) -> Answered | None:
    """None where the channels have no names that events are known by."""
    if known.events is not None and known.own_events is not None:
        found = answered(reactions, speaker, known.names, known.events, known.own_events)
    else:
        to_answer = found_events(speaker, known.names, known.listening)
        everything = zip(found_events(speaker, known.names), found_events(listener, known.names), strict=True)
        found = answered(reactions, speaker, known.names, to_answer, [spoken + own for spoken, own in everything])
    return found if found.shares else None


def reacting_figures(measured: Reacting) -> dict[str, float]:
    """By name; docs/metrics.md defines them. What is undefined is NaN."""
    figures = {name: ratio.value() for name, ratio in measured.ratios.items()}
    if measured.answers is not None:
        figures["answer_delay_deviation"] = measured.answers.delay_deviation()
    if measured.gain is not None:
        figures["reaction_gain_p"] = measured.gain.p
    figures["motion_distance"], figures["motion_distance_floor"] = measured.motion
    return figures


def reacting_draws(measured: Reacting, counts: Int[np.ndarray, "R N"]) -> dict[str, Float[np.ndarray, " R"]]:
    """The ratios of resampled clips (`bootstrap.resamplings`)."""
    return {name: ratio.drawn(counts) for name, ratio in measured.ratios.items()}
