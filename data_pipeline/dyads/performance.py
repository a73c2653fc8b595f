"""A person's 58 coefficients over a clip: own events, answers to the other's, speech, blinks and idle motion."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from data_pipeline.dyads.channels import channels
from data_pipeline.dyads.listening import Answer, Gestures
from data_pipeline.dyads.scripts import Event
from data_pipeline.dyads.variation import Variation, blinks, gaze, idle, smoothed, talking_head, tracked
from data_pipeline.dyads.voice import Loudness
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, NUM_EXPRESSION

REST_POSE = (np.pi + 0.02, 0.0, 0.0, -0.006, -0.018, 1.838)
"""Rotations (rad) and translations at rest, near REACT2023's means."""

# Gestures in the coefficients' terms; a channel without a side means both sides. Groups move as real faces do, and
# each channel belongs to one or two gestures, so that what is not played stays exactly constant.
GESTURES: Mapping[str, Mapping[str, float]] = {
    "smile": {
        **{"mouthSmile": 0.95, "cheekSquint": 0.6, "eyeSquint": 0.45, "mouthDimple": 0.35},
        **{"mouthUpperUp": 0.5, "mouthLowerDown": 0.3, "jawOpen": 0.2},  # shows the teeth
    },
    "brow_raise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.5},
    "frown": {"browDown": 0.95, "noseSneer": 0.4, "mouthFrown": 0.5, "mouthPress": 0.3, "mouthShrugLower": 0.3},
    "nod": {"rotation_x": 0.22, "translation_y": 0.03, "eyeLookDown": 0.3},
    "lean": {"translation_z": -0.25, "rotation_x": -0.04},
    "turn+": {"rotation_y": 0.4, "translation_x": -0.03, "eyeLookOutRight": 0.5, "eyeLookInLeft": 0.5},
    "turn-": {"rotation_y": -0.4, "translation_x": 0.03, "eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5},
    "tilt+": {"rotation_z": 0.25, "eyeLookUp": 0.25},
    "tilt-": {"rotation_z": -0.25, "eyeLookUp": 0.25},
}

# What the person who has the floor shows. The voice tells most events too (`voice.speak`).
OWN_GESTURES: Mapping[str, Gestures] = {
    "smile": {"smile": 0.9},
    "brow_raise": {"brow_raise": 0.9},
    "frown": {"frown": 0.9},
    "turn": {"turn": 0.9},
    "emphasis": {"nod": 0.4},
    "pause": {},
    "question": {"tilt": 0.8, "brow_raise": 0.4},
}

# Of the loudness and brightness of the voice.
JAW_CHANNELS = {"jawOpen": 0.75, "mouthLowerDown": 0.4}
BRIGHT_CHANNELS = {"mouthStretch": 0.5}
DARK_CHANNELS = {"mouthFunnel": 0.4, "mouthPucker": 0.25, "mouthRollLower": 0.15}

BLINK = np.array([0.3, 0.8, 1.0, 0.9, 0.5, 0.2])
BLINK_INTERVAL = 3.0
"""Mean, in seconds."""
# Channels that no gesture uses have a person's own small value, the same in every frame.
RESTING = ("cheekPuff", "jawForward", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthShrugUpper")
TALKING = 0.1
"""Loudness over a second from which on a varied person moves as one who talks."""
IDLE_ROTATION, IDLE_TRANSLATION = 0.006, 0.003
"""Standard deviations of the idle motion."""


def rest(rng: np.random.Generator) -> Float[np.ndarray, "58"]:
    """A person's face when nothing happens."""
    face = np.zeros(NUM_COEFFICIENTS)
    face[NUM_EXPRESSION:] = REST_POSE
    for name in RESTING:
        # A multiple of 1/128, so that even the mean over a clip is exact and the channel counts as constant.
        face[channels(name)] = rng.integers(8) / 128
    return face


def perform(
    num_frames: int,
    events: Sequence[Event],
    answers: Sequence[Answer],
    loudness: Loudness,
    face: Float[np.ndarray, "58"],
    rng: np.random.Generator,
    person: Variation | None = None,
) -> Float[np.ndarray, "T 58"]:
    """Plays a person: raw coefficients of every frame.

    Args:
        num_frames: T.
        events: the person's own.
        answers: to the other person's events.
        loudness: of the person's voice.
        face: the person at rest.
        rng: for blinks and idle motion.
        person: what is its own, and its tracker's; None: plain.
    """
    activity = {gesture: np.zeros(num_frames) for gesture in GESTURES}
    for event in events:
        _play(activity, OWN_GESTURES[event.kind], event.start, event, event.strength)
    own_smile = activity["smile"].copy()
    for answered in answers:
        start = answered.to.start + answered.delay
        _play(activity, answered.gestures, start, answered.to, answered.strength)

    coefficients = np.tile(face, (num_frames, 1))
    for gesture, course in activity.items():
        for name, amplitude in GESTURES[gesture].items():
            # Who answers with a smile keeps the mouth shut; plain people show their teeth.
            played = own_smile if person is not None and name == "jawOpen" else course
            coefficients[:, channels(name)] += amplitude * np.clip(played, 0.0, 1.1)[:, None]
    _speak(coefficients, loudness)
    if person is None:
        _blink(coefficients, rng)
        for first, std in ((52, IDLE_ROTATION), (55, IDLE_TRANSLATION)):
            coefficients[:, first : first + 3] += std * _drift(num_frames, rng)
    else:
        coefficients = tracked(_live(coefficients, loudness, person, rng), face, person, rng)
    coefficients[:, :NUM_EXPRESSION] = np.clip(coefficients[:, :NUM_EXPRESSION], 0.0, 1.0)
    return coefficients.astype(np.float32)


def envelope(length: int) -> Float[np.ndarray, " n"]:
    """A gesture's course: a smooth rise over a third of its length, a hold, a smooth fall over the last half."""
    time = (np.arange(length) + 0.5) / length
    rise = np.sin(0.5 * np.pi * np.clip(time / 0.35, 0, 1)) ** 2
    fall = np.sin(0.5 * np.pi * np.clip((1 - time) / 0.5, 0, 1)) ** 2
    return rise * fall


def _play(
    activity: dict[str, Float[np.ndarray, " T"]], gestures: Gestures, start: int, event: Event, strength: float
) -> None:
    course = envelope(event.length)
    for gesture, amplitude in gestures.items():
        sided = gesture if gesture in activity else f"{gesture}{'+' if event.side > 0 else '-'}"
        track = activity[sided][start : start + event.length]
        track += strength * amplitude * course[: len(track)]


def _speak(coefficients: Float[np.ndarray, "T 58"], loudness: Loudness) -> None:
    tracks = (
        (JAW_CHANNELS, loudness.level),
        (BRIGHT_CHANNELS, loudness.level * loudness.brightness),
        (DARK_CHANNELS, loudness.level * (1 - loudness.brightness)),
    )
    for amplitudes, track in tracks:
        for name, amplitude in amplitudes.items():
            coefficients[:, channels(name)] += amplitude * track[:, None]


def _blink(coefficients: Float[np.ndarray, "T 58"], rng: np.random.Generator) -> None:
    lids = channels("eyeBlink")
    frame = FRAME_RATE * rng.uniform(0.2, BLINK_INTERVAL)
    while frame < len(coefficients):
        blink = coefficients[int(frame) : int(frame) + len(BLINK)]
        blink[:, lids] += BLINK[: len(blink), None]
        frame += FRAME_RATE * (1.0 + rng.exponential(BLINK_INTERVAL - 1.0))


def _drift(num_frames: int, rng: np.random.Generator) -> Float[np.ndarray, "T 3"]:
    """Slow random motion of unit variance: noise averaged over a second."""
    return smoothed(rng.normal(size=(num_frames + FRAME_RATE - 1, 3)), FRAME_RATE)


def _live(
    coefficients: Float[np.ndarray, "T 58"], loudness: Loudness, person: Variation, rng: np.random.Generator
) -> Float[np.ndarray, "T 58"]:
    """Adds what a varied person does besides: blinks, looks elsewhere, the talking head's movement, idle motion."""
    num_frames = len(coefficients)
    level = np.convolve(loudness.level, np.full(FRAME_RATE, 1 / FRAME_RATE), mode="same")
    talking = (level[:num_frames] > TALKING).astype(np.float64)
    lived = coefficients.copy()
    lived[:, channels("eyeBlink")] += blinks(talking, person, rng)[:, None]
    side, down = gaze(talking, rng).T
    for name, weight in (("eyeLookOutRight", side), ("eyeLookInLeft", side), ("eyeLookDown", down)):
        lived[:, channels(name)] += np.maximum(weight, 0)[:, None]
    for name in ("eyeLookOutLeft", "eyeLookInRight"):
        lived[:, channels(name)] += np.maximum(-side, 0)[:, None]
    lived[:, 52:55] += talking_head(talking, rng) + person.restless * IDLE_ROTATION * idle(num_frames, rng)
    lived[:, 55:] += person.restless * IDLE_TRANSLATION * idle(num_frames, rng)
    return lived
