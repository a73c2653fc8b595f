"""The packaged listener's reactions to a person whom MediaPipe has measured."""

import time
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.extraction.people import Measured
from reactface_jax.methods.listener import Control
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.types import NUM_COEFFICIENTS


def read_style(path: Path) -> Float[np.ndarray, "T 58"]:
    """Coefficients of a listener. Raises `UserError` if the file holds none."""
    clip = read_npy(path, name=f"--style-clip {path}", advice=f"give coefficients [T, {NUM_COEFFICIENTS}]")
    clip = clip[:, 0] if clip.ndim == 3 and clip.shape[1] == 1 else clip  # as in REACT2023's files
    if clip.ndim != 2 or clip.shape[1] != NUM_COEFFICIENTS:
        raise UserError(f"--style-clip {path} has shape {clip.shape}; give coefficients [T, {NUM_COEFFICIENTS}]")
    if not len(clip) or not np.isfinite(clip).all():
        raise UserError(f"--style-clip {path} has no frame, or values that are not finite; measure the person again")
    return np.asarray(clip, np.float32)


def listen(
    person: Measured,
    sound: Float[np.ndarray, " L"],
    num_reactions: int,
    seed: int,
    control: Control,
    style: Float[np.ndarray, "S 58"] | None = None,
) -> Float[np.ndarray, "K T 58"]:
    """Raw coefficients of the packaged listener's reactions to one person.

    Args:
        person: from `extraction.people.measure`.
        sound: 16 kHz, 640 samples a frame.
        num_reactions: K.
        seed: of what makes reactions differ.
        control: the knobs.
        style: coefficients of someone whose way of listening it takes on.
    """
    listener = load_pretrained("listener", control)
    seen = np.where(person.usable[:, None], person.coefficients, np.nan)
    start = time.perf_counter()
    coefficients = listener.generate(
        Inputs(speaker=seen[None], audio=sound[None]),
        num_reactions,
        key=jax.random.key(seed),
        style=None if style is None else np.tile(listener.style_of(style), (num_reactions, 1)),
    )[0]
    seconds = time.perf_counter() - start
    print(f"{num_reactions} reaction(s) by the packaged listener, in {seconds:.1f} s with compilation")
    return coefficients
