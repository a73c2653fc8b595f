"""Whether a mouth moves with a sound: who of two people speaks, and whether picture and sound belong together."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from reactface_jax.types import SAMPLES_PER_FRAME

_SMOOTHING = 2.0  # frames: syllables stay, single frames' noise does not
_MOST_SHIFT = 5  # frames (0.2 s) by which the mouth may open before or after it is heard


def envelope(audio: Float[np.ndarray, " L"], num_frames: int) -> Float[np.ndarray, " T"]:
    """Root mean square of the sound of each frame (16 kHz, silent where it has ended)."""
    length = num_frames * SAMPLES_PER_FRAME
    sound = np.pad(audio[:length], (0, max(0, length - len(audio)))).astype(np.float64)
    return np.sqrt(np.square(sound.reshape(num_frames, SAMPLES_PER_FRAME)).mean(axis=1)).astype(np.float32)


def follows(jaw: Float[np.ndarray, " T"], loudness: Float[np.ndarray, " T"], usable: Bool[np.ndarray, " T"]) -> float:
    """The largest correlation of jawOpen and the sound's envelope, both smoothed, over small shifts; 0 if one is still.

    Args:
      jaw: weight of jawOpen in each frame.
      loudness: the envelope.
      usable: the frames to look at.
    """
    smooth = [gaussian_filter1d(np.asarray(track, np.float64), _SMOOTHING) for track in (jaw, loudness)]
    best = -1.0
    for shift in range(-_MOST_SHIFT, _MOST_SHIFT + 1):
        both = usable & np.roll(usable, shift)
        both[: max(shift, 0)] = False
        both[len(both) + min(shift, 0) :] = False  # what `roll` brought round
        mouth, sound = np.roll(smooth[0], shift)[both], smooth[1][both]
        if len(mouth) < 2 or mouth.std() < 1e-6 or sound.std() < 1e-9:
            return 0.0
        best = max(best, float(np.corrcoef(mouth, sound)[0, 1]))
    return best
