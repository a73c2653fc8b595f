"""How people differ, and what a tracker makes of them: rest, gain, asymmetry, noise, blinks, gaze, moving heads.

Plain people share one face at rest, one strength and one way to blink, so that what is planted is all that happens;
varied ones are nearer to MediaPipe's output on recordings. docs/made_conversations.md says where each number is from.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_pipeline.dyads.channels import SIDES, alike_on_both_sides, channels
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, NUM_EXPRESSION

GAIN, CHANNEL_GAIN, ASYMMETRY = 0.2, 0.12, 0.2
"""Standard deviations of natural logarithms: of a person's strength, of a channel's, and between left and right."""
REST_SHARE, REST_MOST = 0.22, 0.5
"""How many expressions are on in a face at rest, and by how much at most."""
POSE_SPREAD = (0.12, 0.08, 0.05, 0.03, 0.03, 0.15)
"""Of people's rest poses: rotations (rad), translations."""
QUICK, SLOW = 0.03, 0.04
"""Most of a tracker's noise in an expression, from frame to frame and over half a second; most channels have less."""
POSE_NOISE = (0.005, 0.006, 0.003, 0.004, 0.004, 0.03)
"""From frame to frame, of rotations (rad) and translations."""
BLINKS_SILENT, BLINKS_TALKING = 17 / 60, 26 / 60
"""A second."""
BLINK_SPREAD = 0.4
"""Standard deviation of the natural logarithm, of people's rates and of one person's intervals."""
BLINK_FRAMES = (4, 8)
LOOKING_TALKING, LOOKING_SILENT = 0.41, 0.75
"""Share of the time in which one looks at the other."""
AWAY_SECONDS = 1.0
"""Mean length of a look elsewhere."""
TALKING_HEAD = ((0.2, 1.8, 0.035), (1.8, 3.7, 0.012))
"""Bands of a talking head's rotation: lowest and highest frequency (Hz), standard deviation (rad)."""
IDLE_SECONDS = (1.0, 4.0)
"""Over which the idle motion's noise is averaged; half its variance each, so that it has no single scale."""


@dataclass(frozen=True)
class Variation:
    """One person, and the tracker that sees it."""

    rest: Float[np.ndarray, "58"]
    """Added to the plain face at rest."""
    gain: Float[np.ndarray, "58"]
    """Of what moves."""
    quick: Float[np.ndarray, "58"]
    slow: Float[np.ndarray, "58"]
    """Standard deviations of the tracker's noise."""
    blinking: float
    """Factor of the rate of blinks."""
    restless: float
    """Factor of the idle motion."""


def sample_variation(rng: np.random.Generator) -> Variation:
    """Someone."""
    gain = np.exp(GAIN * rng.normal() + CHANNEL_GAIN * alike_on_both_sides(rng.normal(size=NUM_COEFFICIENTS)))
    gain *= np.exp(0.5 * ASYMMETRY * rng.normal() * SIDES)
    gain[NUM_EXPRESSION:] = np.exp(GAIN * rng.normal())
    rest = np.zeros(NUM_COEFFICIENTS)
    is_on = alike_on_both_sides((rng.random(NUM_COEFFICIENTS) < REST_SHARE).astype(float))
    rest[:NUM_EXPRESSION] = (is_on * alike_on_both_sides(rng.uniform(0, REST_MOST, NUM_COEFFICIENTS)))[:NUM_EXPRESSION]
    rest[channels("eyeBlink")] *= 0.4  # open eyes
    rest[NUM_EXPRESSION:] = POSE_SPREAD * rng.normal(size=6)
    size = rng.random(NUM_COEFFICIENTS) ** 3
    quick, slow = QUICK * size, SLOW * size
    quick[NUM_EXPRESSION:], slow[NUM_EXPRESSION:] = POSE_NOISE, POSE_NOISE
    factors = np.exp(BLINK_SPREAD * rng.normal(size=2))
    return Variation(rest, gain, quick, slow, float(factors[0]), float(factors[1]))


def tracked(
    coefficients: Float[np.ndarray, "T 58"],
    face: Float[np.ndarray, "58"],
    person: Variation,
    rng: np.random.Generator,
) -> Float[np.ndarray, "T 58"]:
    """What a tracker reports of a plain performance by a varied person.

    Args:
        coefficients: the performance.
        face: the plain face at rest that it started from.
        person: who plays.
        rng: of the noise.
    """
    frames = len(coefficients)
    moved = face + person.rest + person.gain * (coefficients - face)
    moved += person.quick * rng.normal(size=(frames, NUM_COEFFICIENTS))
    moved += person.slow * smoothed(rng.normal(size=(frames + FRAME_RATE // 2 - 1, NUM_COEFFICIENTS)), FRAME_RATE // 2)
    return moved


def blinks(talking: Float[np.ndarray, " T"], person: Variation, rng: np.random.Generator) -> Float[np.ndarray, " T"]:
    """Lids over time, 0 open and 1 closed; intervals are log-normal, and shorter while one talks."""
    lids = np.zeros(len(talking))
    frame = FRAME_RATE * rng.uniform(0, 1 / (BLINKS_SILENT * person.blinking))
    while frame < len(talking):
        length = int(rng.integers(*BLINK_FRAMES, endpoint=True))
        course = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 0.7
        seen = lids[int(frame) : int(frame) + length]
        seen += course[: len(seen)]
        rate = person.blinking * (BLINKS_TALKING if talking[int(frame)] else BLINKS_SILENT)
        interval = np.exp(BLINK_SPREAD * rng.normal() - 0.5 * BLINK_SPREAD**2) / rate
        frame += max(FRAME_RATE * interval, length + 2)
    return np.minimum(lids, 1)


def gaze(talking: Float[np.ndarray, " T"], rng: np.random.Generator) -> Float[np.ndarray, "T 2"]:
    """Where the eyes are turned, sideways (right positive) and down, in weights of the channels; 0: at the other."""
    looks = np.zeros((len(talking), 2))
    frame, away = 0, bool(rng.random() > LOOKING_SILENT)
    while frame < len(talking):
        looking = LOOKING_TALKING if talking[frame] else LOOKING_SILENT
        mean = AWAY_SECONDS if away else AWAY_SECONDS * looking / (1 - looking)
        length = max(5, round(FRAME_RATE * rng.exponential(mean)))
        if away:
            looks[frame : frame + length] = (rng.choice([-1, 1]) * rng.uniform(0.15, 0.5), rng.uniform(0, 0.3))
        frame, away = frame + length, not away
    return looks


def talking_head(talking: Float[np.ndarray, " T"], rng: np.random.Generator) -> Float[np.ndarray, "T 3"]:
    """Rotations (rad) of a head that talks; 0 while it is silent."""
    frames = len(talking)
    frequency = np.fft.rfftfreq(frames, 1 / FRAME_RATE)
    moving = np.zeros((frames, 3))
    for lowest, highest, deviation in TALKING_HEAD:
        spectrum = np.fft.rfft(rng.normal(size=(frames, 3)), axis=0)
        band = (frequency >= lowest) & (frequency < highest)
        wave = np.fft.irfft(np.where(band[:, None], spectrum, 0), frames, axis=0)
        moving += deviation * wave / np.maximum(wave.std(axis=0), 1e-9)
    fade = np.convolve(talking, np.full(9, 1 / 9), mode="same")
    return moving * fade[:, None]


def idle(num_frames: int, rng: np.random.Generator) -> Float[np.ndarray, "T 3"]:
    """Slow random motion of unit variance on two scales."""
    total = np.zeros((num_frames, 3))
    for seconds in IDLE_SECONDS:
        width = round(FRAME_RATE * seconds)
        total += smoothed(rng.normal(size=(num_frames + width - 1, 3)), width)
    return total / np.sqrt(len(IDLE_SECONDS))


def smoothed(noise: Float[np.ndarray, "L C"], width: int) -> Float[np.ndarray, "T C"]:
    """Noise averaged over `width` frames, of the variance that went in; width - 1 frames shorter."""
    sums = np.cumsum(np.vstack([np.zeros((1, noise.shape[1])), noise]), axis=0)
    return (sums[width:] - sums[:-width]) / np.sqrt(width)
