"""What a model may be given as video: caught here, a wrong unit gives reactions that look like any others."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from reactface_jax.errors import UserError
from reactface_jax.types import AnyArray

_LARGEST = 10.0
"""Frames are in [-1, 1]; what goes beyond this is in another unit."""
_STRIDE = 8
"""One pixel of this many by this many is looked at: a unit is everywhere."""
_MEND = "video / 127.5 - 1"


def check_array(name: str, array: Shaped[AnyArray, "..."], shape: str) -> None:
    """Raises `UserError` for what is no array, such as a list, `Inputs` or a PyTorch tensor."""
    if not isinstance(array, Array | np.ndarray):
        raise UserError(f"{name} is of type {type(array).__name__}; give an array {shape} of NumPy or JAX")


def check_video(video: Shaped[AnyArray, "B T H W 3"]) -> None:
    """Raises `UserError` for frames that are not [B, T, H, W, 3], floating-point numbers of about [-1, 1].

    Values are looked at where they are known: inside `jax.jit`, and of rows on other hosts, only shape and type are.
    """
    check_array("video", video, "[B, T, H, W, 3]")
    if video.ndim != 5 or video.shape[-1] != 3:
        hint = "; add the batch's axis, video[None]" if video.ndim == 4 and video.shape[-1] == 3 else ""
        raise UserError(f"video has shape {video.shape}, but the model takes [B, T, H, W, 3]{hint}")
    if not jnp.issubdtype(video.dtype, jnp.floating):
        raise UserError(f"video is {video.dtype}, but the model takes floating-point frames in [-1, 1]; give {_MEND}")
    if isinstance(video, jax.core.Tracer) or (isinstance(video, jax.Array) and not video.is_fully_addressable):
        return
    pixels = np.abs(np.asarray(video[:, :, ::_STRIDE, ::_STRIDE], np.float32))
    if not np.isfinite(pixels).all():
        raise UserError("video has NaN or infinite values; give frames in [-1, 1]")
    if pixels.max(initial=0) > _LARGEST:
        raise UserError(f"video goes up to {pixels.max():.4g}, but the model takes frames in [-1, 1]; give {_MEND}")
