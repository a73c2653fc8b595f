"""A person's voice: real speech, heard only in the person's own turns, shaped by the script's events."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_pipeline.dyads.scripts import Script
from reactface_jax.media.audio import read_audio
from reactface_jax.types import FRAME_RATE

RATE = 44_100
SAMPLES_PER_FRAME = RATE // FRAME_RATE
SPEECH = Path(__file__).parents[1] / "assets" / "voices" / "librivox.ogg"

LEVEL = 0.07
"""Root mean square of ordinary speech."""
EMPHASIS = 2.0
"""How much louder an emphasised word is."""
QUESTION_RISE = 0.35
"""By how much the pitch has risen at a question's end."""
PITCH = {"brow_raise": 0.2, "frown": -0.2}
"""By how much the pitch moves with the brows."""
LAUGH = 0.1
"""Loudness of the breath of a laugh, bursts of which come with a smile and drown the words."""
LAUGH_RATE = 5.0
"""Bursts a second."""
LONGEST_PAUSE = 0.12
"""What the recording has of longer silences is cut down to this (s): pauses are the script's."""
NOISE = 2e-4


@dataclass(frozen=True)
class Loudness:
    """What the mouth follows."""

    level: Float[np.ndarray, " T"]
    """Mean energy of each frame's sound, compressed: about 0.6 in ordinary speech, at most 1.3."""
    brightness: Float[np.ndarray, " T"]
    """From 0 for dark vowels to 1 for bright sounds."""


def speak(script: Script, role: int, pitch: float, rng: np.random.Generator) -> Float[np.ndarray, " L"]:
    """One person's microphone over a clip, 44.1 kHz mono in [-1, 1].

    Emphasis is louder, a pause is silent, a question's pitch rises; one smiles with a laugh, raises the brows with a
    higher voice and frowns with a lower one.

    Args:
        script: of the conversation.
        role: which of its two people.
        pitch: of the voice, relative to the recording.
        rng: chooses the words.
    """
    num_samples = script.num_frames * SAMPLES_PER_FRAME
    gain = np.zeros(script.num_frames + 1)
    rate = np.full(script.num_frames + 1, pitch)
    laugh = np.zeros(script.num_frames + 1)
    for turn in script.turns:
        if turn.role == role:
            gain[turn.start + 2 : turn.end - 2] = 1.0
    for event in script.events[role]:
        span = slice(event.start, event.start + event.length)
        if event.kind == "pause":
            gain[span] = 0.0
        elif event.kind == "emphasis":
            gain[span] *= EMPHASIS
        elif event.kind == "question":
            rate[span] *= 1 + QUESTION_RISE * np.linspace(0, 1, len(rate[span]))
        elif event.kind == "smile":
            laugh[span] = event.strength * _course(event.length)[: len(laugh[span])]
        elif event.kind in PITCH:
            rate[span] *= 1 + PITCH[event.kind] * event.strength * _course(event.length)[: len(rate[span])]
    recording = _recording()
    position = rng.uniform(0, len(recording)) + np.cumsum(_per_sample(rate, num_samples))
    loudness = _per_sample(gain, num_samples)
    laughing = _per_sample(laugh, num_samples)
    words, bursts = np.zeros(num_samples), np.zeros(num_samples)
    spoken = np.flatnonzero(loudness)
    before = np.floor(position[spoken]).astype(np.int64)
    fraction = position[spoken] - before
    speech = (1 - fraction) * recording[before % len(recording)] + fraction * recording[(before + 1) % len(recording)]
    words[spoken] = loudness[spoken] * (1 - np.minimum(laughing[spoken], 1)) * speech
    heard = np.flatnonzero(laughing)
    bursts[heard] = laughing[heard] * np.sin(np.pi * LAUGH_RATE * heard / RATE) ** 2
    breath = (LAUGH * bursts + NOISE) * rng.standard_normal(num_samples, np.float32)
    return np.clip(words + breath, -1, 1).astype(np.float32)


def listen(sound: Float[np.ndarray, " L"]) -> Loudness:
    """How loud and how bright each frame of a sound is."""
    frames = sound.reshape(-1, SAMPLES_PER_FRAME).astype(np.float64)
    energy = np.sqrt((frames**2).mean(axis=1))
    rough = np.sqrt((np.diff(frames, axis=1) ** 2).mean(axis=1)) / np.maximum(energy, 1e-6)
    speaking = np.maximum(energy - 4 * NOISE, 0.0)
    level = np.convolve(speaking, [0.25, 0.5, 0.25], mode="same") / LEVEL
    return Loudness(
        level=0.6 * np.clip(level, 0, 3) ** 0.7,
        brightness=np.convolve(np.clip((rough - 0.06) / 0.18, 0, 1), [0.25, 0.5, 0.25], mode="same"),
    )


def _course(length: int) -> Float[np.ndarray, " n"]:
    """From 0 up to 1 and back."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length)


def _per_sample(track: Float[np.ndarray, " n"], num_samples: int) -> Float[np.ndarray, " L"]:
    """Values at the frames' starts, with straight lines between, so that speech fades in and out within a frame."""
    within = np.arange(SAMPLES_PER_FRAME) / SAMPLES_PER_FRAME
    return (track[:-1, None] + np.diff(track)[:, None] * within).ravel()[:num_samples]


@cache
def _recording() -> Float[np.ndarray, " L"]:
    """The recorded speech without its long silences."""
    speech = read_audio(SPEECH, RATE)
    hop = RATE // 100
    energy = np.sqrt((speech[: len(speech) // hop * hop].reshape(-1, hop) ** 2).mean(axis=1))
    silent = energy < 0.08 * energy.max()
    # Frames of a silence that has lasted longer than the longest pause.
    since = np.arange(len(silent)) - np.maximum.accumulate(np.where(silent, -1, np.arange(len(silent))))
    kept = np.repeat(since <= LONGEST_PAUSE * RATE / hop, hop)
    speech = speech[: len(kept)][kept]
    return (speech * LEVEL / np.sqrt((speech**2).mean())).astype(np.float32)
