"""Log-mel energies of the 40 ms of sound of each video frame, and nothing of the frames around it."""

from functools import cache

import numpy as np
from jaxtyping import Float

from reactface_jax.types import SAMPLE_RATE, SAMPLES_PER_FRAME, AnyArray

NUM_BANDS = 24
LOWEST, HIGHEST = 60.0, 7_600.0
"""Of the bands (Hz)."""
FLOOR = 1e-9
"""Added to the energies: digital silence."""


def log_mel(samples: Float[AnyArray, "*B L"]) -> Float[np.ndarray, "*B T F"]:
    """Natural logarithm of the energy in each band, a frame by itself, so that a stream hears what a clip does.

    A gain g of the sound adds 2 log g to each number, well above the floor.
    """
    samples = np.asarray(samples, np.float32)
    num_frames = samples.shape[-1] // SAMPLES_PER_FRAME
    frames = samples[..., : num_frames * SAMPLES_PER_FRAME].reshape(*samples.shape[:-1], num_frames, SAMPLES_PER_FRAME)
    spectrum = np.fft.rfft(frames * np.hanning(SAMPLES_PER_FRAME).astype(np.float32))
    power = (spectrum.real**2 + spectrum.imag**2) / SAMPLES_PER_FRAME**2
    return np.log(power @ _triangles() + FLOOR).astype(np.float32)


@cache
def _triangles() -> Float[np.ndarray, "W F"]:
    """Overlapping triangles, evenly spaced in mel (O'Shaughnessy's 2595 log10(1 + f / 700)), each of sum 1."""
    lowest, highest = (2595 * np.log10(1 + f / 700) for f in (LOWEST, HIGHEST))
    corners = 700 * (10 ** (np.linspace(lowest, highest, NUM_BANDS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(SAMPLES_PER_FRAME, 1 / SAMPLE_RATE)[:, None]
    rise = (frequency - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - frequency) / (corners[2:] - corners[1:-1])
    triangles = np.maximum(np.minimum(rise, fall), 0)
    # 25 Hz between bins: the lowest triangles may have none within, and take the nearest.
    for band in np.flatnonzero(triangles.sum(0) == 0):
        triangles[np.abs(frequency[:, 0] - corners[band + 1]).argmin(), band] = 1
    return (triangles / triangles.sum(0)).astype(np.float32)
