"""A listener's reactions to a person whom MediaPipe has measured."""

from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import Measured
from reactface_jax.methods.listener import Control, Listener, load_weights
from reactface_jax.methods.method import Inputs
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


def own_listener(weights: Path, control: Control | None = None) -> Listener:
    """A listener of the user's own training, with the knobs of the packaged one if none are given.

    Raises:
      UserError: these are no such weights, or they know other coefficients than those that MediaPipe measures.
    """
    loaded = load_weights(weights)
    if loaded.names != COEFFICIENT_NAMES:
        raise UserError(
            f"the listener {weights} was trained on coefficients with other names than those that are measured in a "
            "video; train it on data with MediaPipe's"
        )
    return Listener(loaded, (control or Control()).checked())


def listen(
    listener: Listener,
    person: Measured,
    sound: Float[np.ndarray, " L"],
    num_reactions: int,
    seed: int,
    style: Float[np.ndarray, "S 58"] | None = None,
) -> Float[np.ndarray, "K T 58"]:
    """Raw coefficients of a listener's reactions to one person.

    Args:
      listener: the packaged one, or another, with its knobs.
      person: from `extraction.people.measure`.
      sound: 16 kHz, 640 samples a frame.
      num_reactions: K.
      seed: of what makes reactions differ.
      style: coefficients of someone whose way of listening it takes on.
    """
    seen = np.where(person.usable[:, None], person.coefficients, np.nan)
    return listener.generate(
        Inputs(speaker=seen[None], audio=sound[None]),
        num_reactions,
        key=jax.random.key(seed),
        style=None if style is None else np.tile(listener.style_of(style), (num_reactions, 1)),
    )[0]
