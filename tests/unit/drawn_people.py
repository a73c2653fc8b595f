"""Videos of drawn people in conversation, for the tests of own recordings."""

import wave
from pathlib import Path

import numpy as np

from reactface_jax.media.video import VideoWriter
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer

JAW = ARKIT_NAMES.index("jawOpen")
NUM_FRAMES = 80
SHORT, LONG = range(24, 29), range(52, 72)  # frames in which the listener's face is away


def make_films(folder: Path) -> None:
    """Two drawn people in one picture, the right one talking; one by herself; nobody; and a sound."""
    rng = np.random.default_rng(0)
    syllables = np.clip(np.sin(np.arange(NUM_FRAMES) * 0.7), 0, 1)
    sound = (0.3 * np.repeat(syllables, 640) * rng.normal(size=NUM_FRAMES * 640)).astype(np.float32)
    heads = [HeadRenderer((256, 256), look) for look in (Look(), Look(skin=(0.5, 0.35, 0.27), scale=0.7))]
    with (
        VideoWriter(folder / "both.mp4", size=(256, 512), audio=sound, crf=12) as both,
        VideoWriter(folder / "alone.mp4", size=(256, 256), crf=12) as alone,
        VideoWriter(folder / "nobody.mp4", size=(64, 64), audio=sound) as nobody,
    ):
        for t in range(NUM_FRAMES):
            coefficients = np.stack([NEUTRAL, NEUTRAL])
            coefficients[:, 53] = 0.1 * np.sin(t / 9)
            coefficients[1, JAW] = 0.8 * syllables[t]
            left, right = (head.render(c) for head, c in zip(heads, coefficients, strict=True))
            alone.write(right)
            if t in SHORT or t in LONG:
                left[:] = 90
            both.write(np.concatenate([left, right], axis=1))
            nobody.write(np.full((64, 64, 3), 90, np.uint8))
    for head in heads:
        head.close()
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((sound * 30000).astype("<i2").tobytes())
