"""A listener small enough for tests, and moving people that it learns from."""

import numpy as np

from reactface_jax.media.log_mel import NUM_BANDS
from reactface_jax.methods.listener.config import ListenerSizes, ListenerTraining
from reactface_jax.methods.listener.training import ListeningData

SIZES = ListenerSizes(
    components=5, speaker_width=8, own_width=6, style_width=3, head_width=8, head_blocks=1, num_styles=4
)
TRAINING = ListenerTraining(steps=4, warmup_steps=1, cycles=1, batch_size=3)


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """People whose faces move: expressions in [0, 1], a head near its rest."""
    noise = np.cumsum(rng.normal(size=(*shape, 58)), axis=-2) * 0.05
    noise[..., :52] = np.clip(np.abs(noise[..., :52]), 0, 1)
    noise[..., 52:] += [3.1, 0, 0, 0, 0, 1.8]
    return noise.astype(np.float32)


def make_data() -> ListeningData:
    """Four directions of 40 frames, each with two forms of the speaker and three listeners."""
    rng = np.random.default_rng(0)
    return ListeningData(
        speaker=smooth(rng, 4, 2, 40),
        sound=rng.normal(size=(4, 40, NUM_BANDS)).astype(np.float32),
        listener=smooth(rng, 4, 3, 40),
        person=rng.integers(2, size=(4, 3)).astype(np.int32),
        form=np.array([0, 0, 1]),
        talks=np.array([1, 1, 0]),
    )
