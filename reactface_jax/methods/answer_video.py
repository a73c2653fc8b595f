"""A trained method's answer to one video: the frames that it sees, the voice, and the person as MediaPipe measured."""

from collections.abc import Iterable

import jax
import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import Measured
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.trained import TrainedMethod
from reactface_jax.methods.trained_reactface import TrainedReactFace


def check_can_measure(method: TrainedMethod, coefficient_names: tuple[str, ...]) -> None:
    """Raises `UserError` if the method sees coefficients that MediaPipe does not measure."""
    if "speaker" in method.needs and coefficient_names != COEFFICIENT_NAMES:
        raise UserError(
            f"{method.name} was trained on coefficients with other names than those that are measured in a video; "
            "train it on data with MediaPipe's"
        )


def answer_video(
    method: TrainedMethod,
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    voice: Float[np.ndarray, " L"],
    person: Measured | None,
    num_reactions: int,
    seed: int,
) -> Float[np.ndarray, "K T C"]:
    """Raw coefficients of K reactions.

    Args:
      method: ready to answer.
      frames: at 25 fps, of the method's size; not looked at if it sees none.
      voice: 16 kHz, 640 samples a frame.
      person: for a method that needs coefficients. Where the face was lost it goes on with the last that was seen.
      num_reactions: K.
      seed: of what makes reactions differ.
    """
    if isinstance(method, TrainedReactFace):
        return method.watch(frames, voice, num_reactions, seed)
    inputs = Inputs(audio=voice[None])
    if person is not None:
        inputs = inputs._replace(speaker=np.where(person.usable[:, None], person.coefficients, np.nan)[None])
    if method.image_size:
        inputs = inputs._replace(video=np.stack(list(frames))[None])
    return method.generate(inputs, num_reactions, key=jax.random.key(seed))[0]
