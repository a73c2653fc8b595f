"""From arrays of reactions to the figures of a table: check, measure once, summarise in either mode."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float
from threadpoolctl import threadpool_limits

from reactface_jax.errors import UserError
from reactface_jax.metrics import correlation, diversity, dtw
from reactface_jax.metrics.chance import by_chance, inappropriate
from reactface_jax.metrics.correlation import Concordance
from reactface_jax.metrics.synchrony import Synchrony, synchrony
from reactface_jax.types import AnyArray
from reactface_jax.worker_pool import num_cores

Mode = Literal["clean", "paper"]
MODES: tuple[Mode, ...] = get_args(Mode)
LARGEST = 1e15
"""Of the values that are measured: squared distances along a whole path still fit float32."""
NOT_MEASURABLE = f"not finite, or beyond {LARGEST:g}"


@dataclass(frozen=True)
class Measurements:
    """What was measured, clip by clip; both modes summarise the same numbers."""

    concordance: Concordance
    by_chance: Float[np.ndarray, "N K"]
    """The same with as many inappropriate reactions, drawn in all ways; NaN where a clip has none."""
    distance: Float[np.ndarray, "N K"]
    variance: Float[np.ndarray, " N"]
    diversity: Float[np.ndarray, " N"]
    diverseness: float
    distance_to_others: Float[np.ndarray, " N"]
    synchrony: Synchrony
    num_reactions: int
    """Arrays above have one column instead of K when all reactions of a clip are one."""
    challenge: bool
    """Whether channels are the 25 attributes of the REACT challenge."""


def compute(
    prediction: AnyArray,
    speaker: AnyArray,
    listener: AnyArray,
    neighbours: AnyArray,
    mode: Mode = "clean",
    clip_ids: Sequence[str] | None = None,
    groups: AnyArray | None = None,
) -> dict[str, float]:
    """All measures of K reactions to each of N clips.

    Args:
      prediction: [N, K, T, C], reactions in raw coefficients (mean_face added) or the challenge's 25 attributes.
      speaker: [N, T, C], real speakers, in the same order.
      listener: [N, T, C], real listeners.
      neighbours: [N, N] of 0 and 1 or booleans; row i marks the clips whose listener is an appropriate reaction to
        speaker i.
      mode: `clean`, the one to quote, or `paper`, the released code with its flaws.
      clip_ids: names for error messages.
      groups: [N], the same number for clips that have to do with each other, as one script's; FRCorr by chance leaves
        them out. Each clip is by itself if None.

    Returns:
      FRCorr, FRDist, FRDvs, FRVar, FRDiv and FRSyn. `clean` adds FRSyn_NaN_share, peak_correlation, conditioning_share
      and FRCorr_random_neighbours; `paper` adds FRCorr_multiprocess, FRDist_multiprocess and FRSyn_multiprocess, what
      the released code gives when run in several processes. A figure that is undefined is NaN.

    Raises:
      UserError: shapes disagree, a value is not finite, or a clip has no appropriate reaction; clips are named.
    """
    return summarise(measure(prediction, speaker, listener, neighbours, clip_ids, groups), mode)


def measure(
    prediction: AnyArray,
    speaker: AnyArray,
    listener: AnyArray,
    neighbours: AnyArray,
    clip_ids: Sequence[str] | None = None,
    groups: AnyArray | None = None,
    advance: Callable[[], None] | None = None,
) -> Measurements:
    """Everything that `summarise` needs, for both modes at once.

    Clips are measured in parallel, a thread for each core. A prediction that repeats one reaction by `np.broadcast_to`
    is measured once, in a K-th of the time.

    Args:
      prediction: as in `compute`.
      speaker: as in `compute`.
      listener: as in `compute`.
      neighbours: as in `compute`.
      clip_ids: names for error messages.
      groups: as in `compute`.
      advance: called after every clip, for a progress bar.

    Raises:
      UserError: as `compute`.
    """
    prediction, speaker, listener = np.asarray(prediction), np.asarray(speaker), np.asarray(listener)
    mask = _checked(prediction, speaker, listener, np.asarray(neighbours), clip_ids)
    groups = np.arange(len(prediction)) if groups is None else np.asarray(groups)
    if groups.shape != (len(prediction),):
        raise UserError(f"groups has shape {groups.shape}; {len(prediction)} clips need {(len(prediction),)}")
    num_reactions, num_channels = prediction.shape[1], prediction.shape[-1]
    if prediction.strides[1] == 0:
        prediction = prediction[:, :1]
    moments, pool = correlation.moments(listener), dtw.Pool(listener)
    allowed = inappropriate(speaker, listener, mask, groups)

    def measure_clip(i: int) -> _Clip:
        one = slice(i, i + 1)
        clip = _Clip(
            correlation.best_concordance(prediction[one], moments, mask[one]),
            by_chance(prediction[i], moments, allowed[i], int(mask[i].sum()))[None],
            dtw.nearest_distance(prediction[one], pool, mask[one]),
            diversity.variance_over_time(prediction[one]),
            diversity.within_clips(prediction[one]),
            synchrony(prediction[one], speaker[one]),
        )
        if advance is not None:
            advance()
        return clip

    # Each thread's matrix products stay on its own core.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(num_cores()) as threads:
        clips = list(threads.map(measure_clip, range(len(prediction))))
    return Measurements(
        concordance=Concordance(*map(np.concatenate, zip(*(clip.concordance for clip in clips), strict=True))),
        by_chance=np.concatenate([clip.by_chance for clip in clips]),
        distance=np.concatenate([clip.distance for clip in clips]),
        variance=np.concatenate([clip.variance for clip in clips]),
        diversity=np.concatenate([clip.diversity for clip in clips]),
        diverseness=diversity.between_clips(prediction),
        distance_to_others=diversity.distance_to_others(prediction),
        synchrony=Synchrony(*map(np.concatenate, zip(*(clip.synchrony for clip in clips), strict=True))),
        num_reactions=num_reactions,
        challenge=dtw.is_challenge(num_channels),
    )


class _Clip(NamedTuple):
    """One clip's rows of `Measurements`."""

    concordance: Concordance
    by_chance: Float[np.ndarray, "1 K"]
    distance: Float[np.ndarray, "1 K"]
    variance: Float[np.ndarray, " 1"]
    diversity: Float[np.ndarray, " 1"]
    synchrony: Synchrony


def summarise(measured: Measurements, mode: Mode) -> dict[str, float]:
    """The figures of one mode; keys as in `compute`."""
    if mode not in MODES:
        raise UserError(f"mode {mode!r} is none of {', '.join(MODES)}")
    diversities = {
        "FRDvs": measured.diverseness,
        "FRVar": float(measured.variance.mean()),
        "FRDiv": float(measured.diversity.mean()),
    }
    return (_paper if mode == "paper" else _clean)(measured, diversities)


def _clean(measured: Measurements, diversities: Mapping[str, float]) -> dict[str, float]:
    sync, between = measured.synchrony, diversities["FRDvs"]
    return {
        "FRCorr": 10 * float(measured.concordance.varying_channels.mean()),
        "FRDist": (1 if measured.challenge else 10) * float(measured.distance.mean()),
        **diversities,
        "FRSyn": _mean_of_defined(sync.offset),
        "FRSyn_NaN_share": float(sync.reference_nan.mean()),
        "peak_correlation": _mean_of_defined(sync.peak),
        "conditioning_share": 1 - diversities["FRDiv"] / between if between > 0 else math.nan,
        "FRCorr_random_neighbours": 10 * _mean_of_defined(measured.by_chance),
    }


def _paper(measured: Measurements, diversities: Mapping[str, float]) -> dict[str, float]:
    corr, reactions = 10 * float(measured.concordance.every_channel.mean()), measured.num_reactions
    distance = float(measured.distance.mean())
    offset = measured.synchrony.reference_offset
    return {
        "FRCorr": corr,
        # The challenge's code sums over reactions and has no factor; ReactFace's averages, times 10.
        "FRDist": reactions * distance if measured.challenge else 10 * distance,
        **diversities,
        "FRSyn": float(offset.mean()),
        "FRCorr_multiprocess": reactions * corr,
        "FRDist_multiprocess": reactions * distance * (1 if measured.challenge else 10),
        "FRSyn_multiprocess": float(offset[:, 0].mean()),
    }


def is_measurable(array: AnyArray) -> bool:
    """Whether all values are finite, and none is beyond `LARGEST`."""
    return float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST


def _mean_of_defined(x: Float[np.ndarray, "N K"]) -> float:
    defined = x[~np.isnan(x)]
    return float(defined.mean()) if defined.size else math.nan


def _checked(
    prediction: np.ndarray,
    speaker: np.ndarray,
    listener: np.ndarray,
    neighbours: np.ndarray,
    clip_ids: Sequence[str] | None,
) -> Bool[np.ndarray, "N N"]:
    """The neighbours as booleans. Raises `UserError` for anything that the measures can't take."""
    if prediction.ndim != 4 or 0 in prediction.shape or prediction.shape[2] < 2:
        raise UserError(f"prediction has shape {prediction.shape}; [N, K, T, C] with at least 2 frames is needed")
    num_clips, _, num_frames, num_channels = prediction.shape
    for name, array in (("speaker", speaker), ("listener", listener)):
        if array.shape != (num_clips, num_frames, num_channels):
            raise UserError(
                f"{name} has shape {array.shape}, but prediction {prediction.shape} needs "
                f"[N, T, C] = {(num_clips, num_frames, num_channels)}"
            )
    if neighbours.shape != (num_clips, num_clips):
        raise UserError(f"neighbours has shape {neighbours.shape}; {num_clips} clips need {(num_clips, num_clips)}")
    if clip_ids is not None and len(clip_ids) != num_clips:
        raise UserError(f"clip_ids has {len(clip_ids)} names for {num_clips} clips; give one a clip")

    def name_of(i: int) -> str:
        return f"clip {i}" if clip_ids is None else f"clip {i} ({clip_ids[i]})"

    for name, array in (("prediction", prediction), ("speaker", speaker), ("listener", listener)):
        for i, clip in enumerate(array):
            if not is_measurable(clip):
                raise UserError(
                    f"{name} of {name_of(i)} has values that are {NOT_MEASURABLE}; remove or repair the clip"
                )
    if not np.isin(neighbours, (0, 1)).all():
        raise UserError("neighbours has values besides 0 and 1; give the appropriateness matrix")
    mask = neighbours.astype(bool)
    empty = np.flatnonzero(~mask.any(1))
    if empty.size:
        raise UserError(
            f"{name_of(int(empty[0]))} has no appropriate reaction in neighbours; give it one, such as its own listener"
        )
    return mask
