"""What travels between the parts: batches in, reactions out.

Legend of dimension letters, used in every shape of this project::

    B clips in a batch           K reactions per clip          T video frames at 25 fps
    S speech frames, S = 2 T     N windows, N = ceil(T / w)    w frames in a window
    D feature width              C coefficients, 58            M neighbours (appropriate reactions)
    H, W picture height, width   L audio samples, L = 640 T    F query frames of an attention

The 58 coefficients are 52 expression weights, 3 rotations (rad) and 3 translations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

NUM_EXPRESSION = 52
NUM_COEFFICIENTS = 58
FRAME_RATE = 25
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE
SPEECH_RATIO = 2  # speech frames a video frame: S = 2 T

AnyArray = Array | np.ndarray


class Batch(NamedTuple):
    """Clips as the loader delivers them. Coefficients have the data's `mean_face` subtracted."""

    video: UInt8[AnyArray, "B T H W 3"]
    """The speaker's frames, RGB; [B, T, 0, 0, 3] where `data.image_size` is 0, for models that need no eyes."""
    audio: Float[AnyArray, "B L"]
    """The speaker's voice, 16 kHz mono, normalised over its whole file (zero mean, unit variance)."""
    speaker: Float[AnyArray, "B T C"]
    """The speaker's own coefficients."""
    listener: Float[AnyArray, "B T C"]
    """The one real listener of the clip."""
    neighbours: Float[AnyArray, "B M T C"] | Int[AnyArray, "B M 2"]
    """Appropriate reactions; or, as they come from the loader, row and first frame of each in the table of the split's
    listeners (reactface_jax/training/neighbour_table.py)."""
    neighbour_mask: Bool[AnyArray, "B M"]
    """Which of them are real; a clip may have fewer than M."""
    clip: Int[AnyArray, " B"]
    """Row of the clip in its split's order (csv pairs, then roles swapped); -1 pads a last batch."""


class Reactions(NamedTuple):
    """Generated reactions. Coefficients are relative to `mean_face`."""

    listener: Float[AnyArray, "B K T C"]
    mean: Float[AnyArray, "B K N D"]
    """Mean of the interaction distribution of each window."""
    std: Float[AnyArray, "B K N D"]
    speaker: Float[AnyArray, "B T C"]
    """The speaker's own coefficients, reconstructed (a training signal)."""


@dataclass(frozen=True)
class Clips:
    """A split's real people, in its order. Raw coefficients."""

    speaker: Float[np.ndarray, "N T C"]
    listener: Float[np.ndarray, "N T C"]
    neighbours: Bool[np.ndarray, "N N"]
    clip_ids: Sequence[str]
    coefficient_names: Sequence[str]

    @property
    def knows_others(self) -> bool:
        """Whether reactions besides the own listener's are appropriate to some clip."""
        return bool((self.neighbours.sum(axis=1) > 1).any())
