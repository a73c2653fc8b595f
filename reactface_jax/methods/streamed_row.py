"""A trained row that answers while the speaker goes on: raw coefficients in and out, the voice at any level.

As `Ready` answers a clip, but what is known of a file only at its end is known of a conversation so far: the voice is
normalised by its mean and variance up to each frame, and a face that was not seen yet is the mean face.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import places_of_names
from reactface_jax.methods.learned import LearnedMethod, Variables
from reactface_jax.methods.method import Inputs, seen_speaker
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.rows import ROWS, learned_method
from reactface_jax.models.causal.running_statistics import Statistics, by_frame
from reactface_jax.models.precision import exact_products
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, AnyArray
from reactface_jax.weights.run import Run

_CHUNK = 5
"""Frames of a step, as of the listener."""
_EPSILON = 1e-7  # of wav2vec 2.0's normalisation


@runtime_checkable
class StreamingRow(LearnedMethod, Protocol):
    """A row that sees nothing of what comes, frame by frame. States have a constant size."""

    def start(self, variables: Variables, num_reactions: int, keys: Key[Array, " B"]) -> Any:
        """The state of B conversations that have not begun."""
        ...

    def step(self, variables: Variables, state: Any, inputs: Inputs) -> tuple[Any, Float[Array, "B K F C"]]:
        """Answers the next frames: what `answer` gives for them, however a clip is cut."""
        ...


class StreamedRowState(NamedTuple):
    """Conversations of constant size."""

    row: Any
    face: Float[Array, "B C"]
    """The latest that was seen, relative to the mean face."""
    sound: Statistics
    frames: Int[Array, " B"]
    """With a voice, so far."""


@dataclass(frozen=True, eq=False)
class StreamedRow:
    """A row that sees the speaker's coefficients and hears the voice; a missing voice is silence.

    Raises:
      UserError: the row answers whole clips only.
    """

    ready: Ready
    order: tuple[int, ...] = tuple(range(NUM_COEFFICIENTS))
    """Of the row's channels, where each of `COEFFICIENT_NAMES` is."""
    chunk: int = _CHUNK

    def __post_init__(self) -> None:
        if not isinstance(self.ready.method, StreamingRow):
            raise UserError(f"{self.name} answers whole clips only, and not as it goes")

    @property
    def name(self) -> str:
        return self.ready.name

    @property
    def needs(self) -> tuple[str, ...]:
        return self.ready.needs

    @property
    def rest(self) -> Float[np.ndarray, " C"]:
        """The mean face, in the order of `COEFFICIENT_NAMES`."""
        return self.ready.mean_face[list(self.order)]

    def generate(self, inputs: Inputs, num_reactions: int = 1, *, key: Key[Array, ""]) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each clip, streamed."""
        count = len(seen_speaker(inputs, self.name))
        return np.asarray(self.step(self.start(num_reactions, key, batch_size=count), inputs)[1])

    def start(
        self, num_reactions: int = 1, key: Key[Array, ""] | None = None, *, batch_size: int = 1
    ) -> StreamedRowState:
        """Conversations that have not begun; seed 0 if no key is given."""
        key = jax.random.key(0) if key is None else key
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(batch_size))
        row = self._row.start(self.ready.variables, num_reactions, keys)
        face = jnp.zeros((batch_size, len(self.order)))
        return StreamedRowState(row, face, Statistics.empty(batch_size, 1), jnp.zeros((batch_size,), jnp.int32))

    def step(self, state: StreamedRowState, inputs: Inputs) -> tuple[StreamedRowState, Float[AnyArray, "B K F C"]]:
        """Answers the next frames. Raises `UserError` if there are no coefficients."""
        places = np.argsort(self.order)
        relative = np.asarray(seen_speaker(inputs, self.name)[..., places] - self.ready.mean_face, np.float32)
        audio = None if inputs.audio is None else np.asarray(inputs.audio, np.float32)
        state, reactions = _step(self._row, self.ready.variables, state, relative, audio)
        return state, (np.asarray(reactions, np.float32) + self.ready.mean_face)[..., list(self.order)]

    @property
    def _row(self) -> StreamingRow:
        assert isinstance(self.ready.method, StreamingRow)
        return self.ready.method


def streamed_row(run: Run, source: str | Path) -> StreamedRow:
    """A run's row.

    Raises:
      UserError: it answers whole clips only, or its channels have names that no face tracking knows.
    """
    row = learned_method(run.config)
    if not isinstance(row, StreamingRow):
        able = [name for name, make in ROWS.items() if isinstance(make(run.config), StreamingRow)]
        raise UserError(
            f"{source} is a run of {run.config.method}, which answers whole clips only; give one of a causal "
            f"ReactFace, of a listener or of {' or '.join(able)}"
        )
    order = places_of_names(run.coefficient_names, source)
    return StreamedRow(Ready(row, Variables(run.params, run.method_state), run.mean_face), order)


@functools.partial(jax.jit, static_argnums=0)
def _step(
    row: StreamingRow,
    variables: Variables,
    state: StreamedRowState,
    speaker: Float[AnyArray, "B F C"],
    audio: Float[AnyArray, "B L"] | None,
) -> tuple[StreamedRowState, Float[Array, "B K F C"]]:
    speaker = _held(state.face, jnp.asarray(speaker))
    batch, frames, _ = speaker.shape
    sound, heard = state.sound, state.frames
    if audio is None:
        audio = jnp.zeros((batch, frames * SAMPLES_PER_FRAME))
    else:
        pieces = jnp.asarray(audio).reshape(batch, frames, SAMPLES_PER_FRAME, 1)
        mean, variance, sound = by_frame(pieces, sound, heard)
        audio = ((pieces - mean) * jax.lax.rsqrt(variance + _EPSILON)).reshape(batch, -1)
        heard = heard + frames
    with exact_products():
        following, reactions = row.step(variables, state.row, Inputs(speaker=speaker, audio=audio))
    return StreamedRowState(following, speaker[:, -1], sound, heard), reactions


def _held(before: Float[Array, "B C"], speaker: Float[Array, "B F C"]) -> Float[Array, "B F C"]:
    """Frames with NaN are the last one that was seen."""
    seen: Bool[Array, "B F"] = jnp.isfinite(speaker).all(-1)
    faces = jnp.concatenate([before[:, None], speaker], axis=1)
    last = jax.lax.cummax(jnp.where(seen, jnp.arange(1, speaker.shape[1] + 1)[None], 0), axis=1)
    return jnp.take_along_axis(faces, last[..., None], axis=1)
