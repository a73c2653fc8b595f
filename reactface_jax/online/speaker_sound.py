"""What a model may be given as sound: caught here, one NaN makes all reactions NaN."""

import jax
import numpy as np
from jaxtyping import Shaped

from reactface_jax.errors import UserError
from reactface_jax.online.speaker_video import check_array
from reactface_jax.types import AnyArray


def check_audio(audio: Shaped[AnyArray, "B L"], batch_size: int) -> None:
    """Raises `UserError` for sound that is not one row for each clip, or has values that are not finite.

    Values are looked at where they are known, as `check_video` does.
    """
    check_array("audio", audio, "[B, L]")
    if audio.ndim != 2 or len(audio) != batch_size:
        hint = "; add the batch's axis, audio[None]" if audio.ndim == 1 and batch_size == 1 else ""
        raise UserError(f"audio has shape {audio.shape}, but these clips need [B, L] with B = {batch_size}{hint}")
    if isinstance(audio, jax.core.Tracer) or (isinstance(audio, jax.Array) and not audio.is_fully_addressable):
        return
    if not np.isfinite(np.asarray(audio)).all():
        raise UserError("audio has NaN or infinite values; give 0 where nothing is known")
