"""A causal ReactFace as a method that answers while the speaker goes on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import places_of_names
from reactface_jax.methods.method import Inputs, check_inputs
from reactface_jax.models.build import build_model
from reactface_jax.models.causal.reactface import CausalReactFace
from reactface_jax.online import stream
from reactface_jax.online.generation import generate
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, AnyArray
from reactface_jax.weights.run import Run

_UNSEEN = 16
"""Side of the pictures that a model without eyes is given."""


class StreamedState(NamedTuple):
    """Conversations of constant size."""

    model: stream.StreamState
    key: Key[Array, ""]
    window: Int[Array, ""]
    """Windows that were answered."""


@dataclass(frozen=True, eq=False)
class StreamedReactFace:
    """Sees the face's crop as in training and hears the voice; a missing voice is silence."""

    model: CausalReactFace
    params: PyTree = field(repr=False)
    mean_face: Float[np.ndarray, " C"] = field(repr=False)
    """Added to the model's answers, in its own order of channels."""
    image_size: int
    order: tuple[int, ...] = tuple(range(NUM_COEFFICIENTS))
    """Of the model's channels, where each of `COEFFICIENT_NAMES` is."""
    name: str = "ReactFace"

    @property
    def needs(self) -> tuple[str, ...]:
        """What it looks at, by its configuration."""
        config = self.model.config
        return ("video",) * config.use_video + ("audio",) * config.use_audio

    @property
    def chunk(self) -> int:
        """Frames of a window."""
        return int(self.model.config.window)

    @property
    def rest(self) -> Float[np.ndarray, " C"]:
        """The mean face, in the order of `COEFFICIENT_NAMES`."""
        return self.mean_face[list(self.order)]

    def start(self, num_reactions: int = 1, key: Key[Array, ""] | None = None, *, batch_size: int = 1) -> StreamedState:
        """Conversations that have not begun; seed 0 if no key is given."""
        side = self.image_size if self.model.config.use_video else _UNSEEN
        state = stream.start(self.model, self.params, batch_size, num_reactions, image_size=side)
        return StreamedState(state, jax.random.key(0) if key is None else key, jnp.zeros((), jnp.int32))

    def step(self, state: StreamedState, inputs: Inputs) -> tuple[StreamedState, Float[AnyArray, "B K F C"]]:
        """Answers whole windows. The buffers of `state` are used again: go on with the one that is returned.

        A window's noise depends on the conversation's key and the window's number, however the windows come; `generate`
        draws that of all its windows at once, and so gives other reactions.

        Raises:
          UserError: the model sees, and there are no pictures.
        """
        video, audio = self._seen_and_heard(inputs)
        count = video.shape[1] // self.chunk
        shape = (*state.model.listener.reaction.shape[:2], self.model.config.feature_dim)  # B K D

        def draw(number: Int[Array, ""]) -> Float[Array, "B K D"]:
            return jax.random.normal(jax.random.fold_in(state.key, number), shape, jnp.float32)

        noise = jax.vmap(draw, out_axes=2)(state.window + jnp.arange(count))
        after, reactions = stream.step(self.model, self.params, state.model, to_unit_range(video), audio, noise=noise)
        number = state.window + count
        return StreamedState(after, state.key, number), self._raw(reactions)

    def generate(self, inputs: Inputs, num_reactions: int = 1, *, key: Key[Array, ""]) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each clip, streamed."""
        video, audio = self._seen_and_heard(inputs)
        options: Any = {"protocol": "stream", "num_reactions": num_reactions, "key": key}
        return self._raw(generate(self.model, self.params, to_unit_range(video), audio, **options))

    def _raw(self, reactions: Float[AnyArray, "B K F C"]) -> Float[np.ndarray, "B K F C"]:
        return (np.asarray(reactions, np.float32) + self.mean_face)[..., list(self.order)]

    def _seen_and_heard(self, inputs: Inputs) -> tuple[UInt8[np.ndarray, "B T H W 3"], Float[np.ndarray, "B L"]]:
        check_inputs(inputs)
        if inputs.video is not None:
            video = np.asarray(inputs.video)
        elif self.model.config.use_video:
            raise UserError(f"{self.name} needs pictures of the speaker; give video")
        else:
            known = inputs.speaker if inputs.speaker is not None else inputs.audio
            assert known is not None, "nothing is seen or heard"
            frames = known.shape[1] // (1 if inputs.speaker is not None else SAMPLES_PER_FRAME)
            video = np.zeros((len(known), frames, _UNSEEN, _UNSEEN, 3), np.uint8)
        if inputs.audio is not None:
            return video, np.asarray(inputs.audio, np.float32)
        return video, np.zeros((len(video), video.shape[1] * SAMPLES_PER_FRAME), np.float32)


def streamed_reactface(run: Run, source: str | Path) -> StreamedReactFace:
    """A run's ReactFace.

    Raises:
      UserError: it is not causal, or its channels have names that no face tracking knows.
    """
    model = build_model(run.config.model)
    if not isinstance(model, CausalReactFace):
        raise UserError(f"{source} is not causal and can't answer as it goes; train one with --model.causal")
    order = places_of_names(run.coefficient_names, source)
    return StreamedReactFace(model, run.params, run.mean_face, run.config.data.image_size, order)
