"""The interface of every row of the table.

A method says what it needs to see (`needs`, fields of `Inputs`) and answers clips with K reactions by an explicit key.
One that answers as it goes is a `StreamingMethod`, too. All coefficients are raw.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from reactface_jax.errors import UserError
from reactface_jax.types import AnyArray


class Inputs(NamedTuple):
    """What can be seen of N speakers; a method names the fields that it needs, others may be None."""

    speaker: Float[AnyArray, "N T C"] | None = None
    """Raw coefficients; NaN where the face was lost."""
    audio: Float[AnyArray, "N L"] | None = None
    """The voice, 16 kHz mono, 640 samples a frame, at any level; for a `PairFittedMethod` at that of its training."""
    video: UInt8[AnyArray, "N T H W 3"] | None = None
    """Pictures, RGB bytes at 25 fps, of the size that the method was trained with. (`rf.generate` takes them as
    floating-point numbers in [-1, 1].)"""


@runtime_checkable
class Method(Protocol):
    """Something that answers speakers."""

    @property
    def name(self) -> str:
        """In the table."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of `Inputs`."""
        ...

    def generate(self, inputs: Inputs, num_reactions: int = 1, *, key: Key[Array, ""]) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each speaker, of the speaker's length."""
        ...


@runtime_checkable
class FittedMethod(Method, Protocol):
    """A method that learns at once from the listeners of the training split, without steps."""

    def fit(self, training: Float[np.ndarray, "M T C"]) -> "Method":
        """Both people of a conversation listen in turn, so these are all its people."""
        ...


@runtime_checkable
class PairFittedMethod(Method, Protocol):
    """A method that learns at once from the conversations of the training split, without steps."""

    def fit_to_pairs(self, speakers: Inputs, listener: Float[np.ndarray, "M T C"]) -> "Method":
        """Of each training clip the speaker, with what the method needs of him, and his listener."""
        ...


@runtime_checkable
class StreamingMethod(Method, Protocol):
    """A method that answers while the speaker goes on."""

    @property
    def chunk(self) -> int:
        """Frames that a step takes, or a multiple of it."""
        ...

    def start(self, num_reactions: int = 1, key: Key[Array, ""] | None = None, *, batch_size: int = 1) -> Any:
        """The state of conversations that have not begun; of constant size."""
        ...

    def step(self, state: Any, inputs: Inputs) -> tuple[Any, Float[AnyArray, "B K F C"]]:
        """Answers the next frames; as many as it is given."""
        ...


def check_inputs(inputs: Inputs) -> None:
    """Raises `UserError` for something else, such as an array of coefficients."""
    if not isinstance(inputs, Inputs):
        raise UserError(f"inputs is of type {type(inputs).__name__}; give rf.Inputs(speaker=…, audio=…)")


def seen_speaker(inputs: Inputs, name: str) -> Float[np.ndarray, "N T C"]:
    """The speaker's coefficients. Raises `UserError` if the inputs have none."""
    check_inputs(inputs)
    if inputs.speaker is None:
        raise UserError(f"{name} needs the speaker's coefficients; extract them from the video first")
    return np.asarray(inputs.speaker)


def repeat(reaction: Float[np.ndarray, "N T C"], num_reactions: int) -> Float[np.ndarray, "N K T C"]:
    """One reaction, K times: a view, which the measures recognise and measure once."""
    num_clips, num_frames, num_channels = reaction.shape
    return np.broadcast_to(reaction[:, None], (num_clips, num_reactions, num_frames, num_channels))
