"""A speaker who smiles once."""

import numpy as np
from delayed_smile import SMILES

from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

FRAMES = 75
SMILE = slice(25, 50)


def smiling_speaker() -> np.ndarray:
    """Coefficients of three seconds: a smile in the second one."""
    coefficients = np.tile(NEUTRAL, (FRAMES, 1)).astype(np.float32)
    bump = np.sin(np.linspace(0, np.pi, SMILE.stop - SMILE.start)) ** 0.5
    coefficients[SMILE, SMILES] = 0.9 * bump[:, None]
    return coefficients
