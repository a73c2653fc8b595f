"""Reaction gain: how much better a reaction's next frame is foretold by who knows the speaker's past, too.

A directed gain in Granger's sense ("Investigating causal relations by econometric models", Econometrica 1969) by ridge
regression. It needs no planted events and no appropriate reactions, and a listener that moves well but does not react
has none. The speaker helps by what all speakers have in common as well, so the same with speakers exchanged between
clips is subtracted.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from reactface_jax.metrics.ratio import Ratio

OWN_PAST, SPEAKERS_PAST = 10, 25
"""Frames that are seen."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Of a standardised feature, by row; the one that foretells held-out people best is taken."""
MOST_REACTIONS = 3
"""Of a clip that are judged."""
MOST_ROWS = 30_000
"""Frames of the training split that are fitted, evenly chosen."""
NUM_PERMUTATIONS = 999


class Foresight(NamedTuple):
    """Two linear predictors of a real listener's next frame, in standardised channels."""

    mean: Float[np.ndarray, " C"]
    std: Float[np.ndarray, " C"]
    """Infinite for channels that never move: they count for nothing."""
    sound_mean: Float[np.ndarray, " F"]
    sound_std: Float[np.ndarray, " F"]
    own: Float[np.ndarray, "P C"]
    """From the own past only; P is 0 where no training clip was long enough to have one."""
    with_speaker: Float[np.ndarray, "Q C"]
    """From the own past, then the speaker's."""


class Gain(NamedTuple):
    """What the speaker's past foretells."""

    ratio: Ratio
    """The error that the right speaker saves over other clips' speakers, by the error without any."""
    p: float
    """Share of random exchanges of speakers that foretell no worse."""


def fit(
    speaker: Float[np.ndarray, "M T C"], listener: Float[np.ndarray, "M T C"], sound: Float[np.ndarray, "M T F"]
) -> Foresight:
    """Fits both predictors to real people; a fifth of the clips chooses the penalty.

    Args:
        speaker: raw coefficients of the training split.
        listener: likewise.
        sound: features of the speakers' voices; F may be 0.
    """
    mean, std = _moments(listener)
    sound_mean, sound_std = _moments(sound)
    model = Foresight(mean, std, sound_mean, sound_std, np.zeros((0, 0)), np.zeros((0, 0)))
    step = max(1, -(-len(speaker) * max(speaker.shape[1] - SPEAKERS_PAST, 1) // MOST_ROWS))
    rows = [
        (x[::step].copy(), y[::step].copy())  # a view would keep all frames in memory
        for x, y in (_regression(model, s, r, v) for s, r, v in zip(speaker, listener, sound, strict=True))
    ]
    held = np.arange(len(rows)) % 5 == 4
    own = slice(0, OWN_PAST * listener.shape[-1])
    with_speaker = slice(0, rows[0][0].shape[1])
    return model._replace(own=_ridge(rows, held, own), with_speaker=_ridge(rows, held, with_speaker))


def gain(
    model: Foresight,
    prediction: Float[np.ndarray, "N K T C"],
    speaker: Float[np.ndarray, "N T C"],
    sound: Float[np.ndarray, "N T F"],
    groups: Int[np.ndarray, " N"],
    seed: int = 0,
) -> Gain:
    """The gain of reactions; NaN where these, or the clips of the fit, are too short to have a past.

    Args:
        model: from `fit`.
        prediction: K reactions to each of N clips, raw.
        speaker: whom they answer.
        sound: features of the voices, as in `fit`.
        groups: clips of one group are not exchanged for the error that is subtracted, unless there are no others.
        seed: of the permutations.
    """
    count, frames = len(prediction), prediction.shape[2] - SPEAKERS_PAST
    width = prediction.shape[-1]
    if frames < 1 or len(model.own) == 0:
        return Gain(Ratio(np.zeros(count), np.zeros(count)), np.nan)
    heard = np.empty((count, frames * width), np.float32)
    left = np.empty((count, frames * width), np.float32)
    alone, with_none = np.zeros(count), np.zeros(count)
    reactions = prediction[:, :1] if prediction.strides[1] == 0 else prediction[:, :MOST_REACTIONS]
    split = OWN_PAST * width
    for i, clip in enumerate(reactions):
        x, _ = _regression(model, speaker[i], clip[0], sound[i])
        heard[i] = (x[:, split:] @ model.with_speaker[split:]).ravel()
        residuals = []
        for reaction in clip:
            x, y = _regression(model, speaker[i], reaction, sound[i])
            alone[i] += np.square(y - x[:, :split] @ model.own, dtype=np.float64).sum()
            residuals.append(y - x[:, :split] @ model.with_speaker[:split])
        left[i] = np.sum(residuals, axis=0).ravel()
        with_none[i] = np.square(residuals, dtype=np.float64).sum()
    # |r - s|² of every clip's residual with every clip's speaker.
    number = reactions.shape[1]
    cross = left.astype(np.float64) @ heard.T
    error = with_none[:, None] - 2 * cross + number * np.square(heard, dtype=np.float64).sum(1)
    others = groups[:, None] != groups
    others |= ~others.any(1, keepdims=True) & ~np.eye(count, dtype=bool)
    allowed = np.maximum(others.sum(1), 1)
    exchanged = np.where(others.any(1), (error * others).sum(1) / allowed, np.diag(error))
    generator = np.random.default_rng(seed)
    right = np.trace(error)
    orders = [generator.permutation(count) for _ in range(NUM_PERMUTATIONS)]
    as_good = sum(error[np.arange(count), order].sum() <= right for order in orders)
    return Gain(Ratio(exchanged - np.diag(error), alone), (1 + as_good) / (1 + NUM_PERMUTATIONS))


def _moments(x: Float[np.ndarray, "M T C"]) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    mean, std = x.mean((0, 1), dtype=np.float64), x.std((0, 1), dtype=np.float64)
    return mean.astype(np.float32), np.where(std > 1e-6, std, np.inf).astype(np.float32)


def _regression(
    model: Foresight,
    speaker: Float[np.ndarray, "T C"],
    listener: Float[np.ndarray, "T C"],
    sound: Float[np.ndarray, "T F"],
) -> tuple[Float[np.ndarray, "n Q"], Float[np.ndarray, "n C"]]:
    """The past of every frame that has all of it, the listener's first; and the frame itself."""
    own = ((listener - model.mean) / model.std).astype(np.float32)
    other = np.concatenate([(speaker - model.mean) / model.std, (sound - model.sound_mean) / model.sound_std], axis=1)
    frames = np.arange(SPEAKERS_PAST, len(own))
    past = [own[frames - back] for back in range(1, OWN_PAST + 1)]
    past += [other.astype(np.float32)[frames - back] for back in range(1, SPEAKERS_PAST + 1)]
    return np.concatenate(past, axis=1) if len(frames) else np.zeros((0, 0), np.float32), own[frames]


def _ridge(rows: list[tuple[np.ndarray, np.ndarray]], held: np.ndarray, columns: slice) -> Float[np.ndarray, "Q C"]:
    """Weights of the penalty that is best on the clips held out, fitted to all."""
    gram, target, count = _products(rows, ~held, columns)
    held_gram, held_target, held_count = _products(rows, held, columns)
    penalty = PENALTIES[1]
    if count and held_count:
        errors = []
        for penalty in PENALTIES:
            weights = _solve(gram, target, penalty * count)
            errors.append(np.sum(weights * (held_gram @ weights)) - 2 * np.sum(weights * held_target))
        penalty = PENALTIES[int(np.argmin(errors))]
    total = count + held_count
    return _solve(gram + held_gram, target + held_target, penalty * total).astype(np.float32)


def _products(
    rows: list[tuple[np.ndarray, np.ndarray]], chosen: np.ndarray, columns: slice
) -> tuple[np.ndarray, np.ndarray, int]:
    """XᵀX, XᵀY and the number of rows of some clips."""
    width = rows[0][0][:, columns].shape[1]
    gram, target, count = np.zeros((width, width)), np.zeros((width, rows[0][1].shape[1])), 0
    for (x, y), is_chosen in zip(rows, chosen, strict=True):
        if is_chosen:
            seen = x[:, columns]
            gram += seen.T @ seen
            target += seen.T @ y
            count += len(x)
    return gram, target, count


def _solve(gram: np.ndarray, target: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(gram + max(penalty, 1e-9) * np.eye(len(gram)), target)
