"""The listener as a method: answers clips and streams, K reactions at once."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from reactface_jax.errors import UserError
from reactface_jax.media.log_mel import NUM_BANDS, log_mel
from reactface_jax.methods.listener import drawing, speaker_features
from reactface_jax.methods.listener.control import Control, gains, show
from reactface_jax.methods.listener.motion_space import in_chunks, rest_of
from reactface_jax.methods.listener.network import ListenerNetwork
from reactface_jax.methods.listener.speaker_features import RunningPerson
from reactface_jax.methods.listener.uprightness import upright
from reactface_jax.methods.listener.weights import Weights
from reactface_jax.methods.method import Inputs, check_inputs
from reactface_jax.models.precision import exact_products
from reactface_jax.online.draws import check_draws, check_key
from reactface_jax.online.speaker_sound import check_audio
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, AnyArray


class ListenerState(NamedTuple):
    """B conversations with K reactions each, of constant size."""

    person: RunningPerson
    speaker: Float[Array, "B H"]
    own: Float[Array, "B K H"]
    past: Float[Array, "B K FR"]
    """The own chunk before the next one."""
    lean: Float[Array, "B K R"]
    """Running mean of the own components."""
    ahead: Float[Array, "B FR"]
    """What the mean expects of the next chunk."""
    style: Float[Array, "B K Z"]
    rest: Float[Array, "B K C"]
    keys: Key[Array, " B"]
    chunk: Int[Array, ""]
    """Chunks that were answered."""


_USUAL = Control()


@dataclass(frozen=True, eq=False)
class Listener:
    """A streaming, generative listener; see docs/does_it_react.md."""

    weights: Weights = field(repr=False)
    control: Control = _USUAL
    """Its knobs; `dataclasses.replace(listener, control=Control(...))` turns them."""
    steps: int = 12
    """Of the flow, for each chunk."""
    name: str = "Listener"
    needs: tuple[str, ...] = ("speaker", "audio")

    @property
    def chunk(self) -> int:
        """Frames that a step takes and answers."""
        return self.weights.sizes.chunk

    def start(
        self,
        num_reactions: int = 1,
        key: Key[Array, ""] | None = None,
        *,
        batch_size: int = 1,
        style: Float[AnyArray, "K Z"] | None = None,
        rest: Float[AnyArray, "K C"] | None = None,
    ) -> ListenerState:
        """Conversations that have not begun.

        Args:
            num_reactions: K.
            key: of all randomness; seed 0 if not given.
            batch_size: B.
            style: how each reaction listens, from `style_of`; drawn from the training's listeners if not given.
            rest: the faces at rest; drawn likewise.

        Raises:
            UserError: there is no conversation or reaction, or key, style or rest have another shape.
        """
        check_draws(num_reactions, key, batch_size=batch_size)
        keys = jax.random.split(jax.random.key(0) if key is None else key, batch_size)
        return self._start(keys, num_reactions, style, rest)

    def _start(
        self,
        keys: Key[Array, " B"],
        num_reactions: int,
        style: Float[AnyArray, "K Z"] | None = None,
        rest: Float[AnyArray, "K C"] | None = None,
    ) -> ListenerState:
        batch, sizes = len(keys), self.weights.sizes

        def drawn(name: str, table: np.ndarray, given: AnyArray | None, stream: int) -> Array:
            if given is not None:
                shape = (num_reactions, table.shape[-1])
                try:
                    return jnp.broadcast_to(jnp.asarray(given), (batch, *shape))
                except ValueError:
                    raise UserError(f"{name} has shape {np.shape(given)}; give one row a reaction, {shape}") from None
            streams = jax.vmap(jax.random.fold_in, (0, None))(keys, stream)
            rows = jax.vmap(lambda key: jax.random.randint(key, (num_reactions,), 0, len(table), jnp.int32))(streams)
            return jnp.asarray(table)[rows]

        return ListenerState(
            person=speaker_features.start(batch),
            speaker=jnp.zeros((batch, sizes.speaker_width), jnp.float32),
            own=jnp.zeros((batch, num_reactions, sizes.own_width), jnp.float32),
            past=jnp.zeros((batch, num_reactions, sizes.chunk * sizes.components), jnp.float32),
            lean=jnp.zeros((batch, num_reactions, sizes.components), jnp.float32),
            ahead=jnp.zeros((batch, sizes.chunk * sizes.components), jnp.float32),
            style=drawn("style", self.weights.styles, style, _STYLE),
            rest=drawn("rest", self.weights.rests, rest, _REST),
            keys=keys,
            chunk=jnp.zeros((), jnp.int32),
        )

    def step(self, state: ListenerState, inputs: Inputs) -> tuple[ListenerState, Float[Array, "B K F C"]]:
        """Answers the next frames: F is a whole number of chunks, and so are the coefficients that come back.

        Args:
            state: from `start` or the step before.
            inputs: of the same B speakers, as for `generate`.

        Raises:
            UserError: the inputs have another number of frames or speakers, or `generate` would refuse them.
        """
        coefficients, bands, heard = self._inputs(inputs)
        if coefficients.shape[1] % self.chunk:
            raise UserError(f"a step takes whole chunks of {self.chunk} frames, got {coefficients.shape[1]} frames")
        if len(coefficients) != len(state.keys):
            raise UserError(
                f"the inputs are of {len(coefficients)} speakers, but the state was started with batch_size "
                f"{len(state.keys)}"
            )
        return self._run(state, coefficients, bands, heard)

    def generate(
        self,
        inputs: Inputs,
        num_reactions: int = 1,
        *,
        key: Key[Array, ""],
        style: Float[AnyArray, "K Z"] | None = None,
        rest: Float[AnyArray, "K C"] | None = None,
    ) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each clip; a clip's depend on the key and its row only, and are those of a stream.

        Args:
            inputs: `speaker` [N, T, 58], raw, named as `weights.names` (the packaged listener's are
                `COEFFICIENT_NAMES`), NaN where the face was lost; `audio` [N, 640 T], 16 kHz mono at any level, None:
                not heard. Pictures are not looked at.
            num_reactions: K.
            key: of all randomness.
            style: how each reaction listens, from `style_of`; drawn from the training's listeners if not given.
            rest: the faces at rest; drawn likewise.

        Returns:
            Raw coefficients at 25 fps, named as the speaker's.

        Raises:
            UserError: there are no coefficients of the speaker, no clip, no frame or no reaction; a shape or the key
                does not fit; the sound has NaN or infinite values; or a knob of `control` is out of range.
        """
        check_draws(num_reactions)
        check_key(key)
        coefficients, bands, heard = self._inputs(inputs)
        num_clips, num_frames, _ = coefficients.shape
        # One program serves all lengths of a bucket, and all batches: what comes later changes nothing before it.
        padded = -(-num_frames // _BUCKET) * _BUCKET
        missing = padded + -padded % self.chunk - num_frames
        coefficients = np.pad(coefficients, ((0, 0), (0, missing), (0, 0)), mode="edge")
        bands = np.pad(bands, ((0, 0), (0, missing), (0, 0)), mode="edge")
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(num_clips))
        at_once = -(-num_clips // -(-num_clips // _CLIPS_AT_ONCE))
        answers = []
        for first in range(0, num_clips, at_once):
            rows = np.minimum(np.arange(first, first + at_once), num_clips - 1)  # the last clip again fills the batch
            state = self._start(keys[rows], num_reactions, style, rest)
            _, reactions = self._run(state, coefficients[rows], bands[rows], heard[rows])
            answers.append(np.asarray(reactions, np.float32)[:, :, :num_frames])
        return np.concatenate(answers)[:num_clips]

    def style_of(self, clip: Float[np.ndarray, "T C"]) -> Float[Array, " Z"]:
        """How the person in a clip listens, for `start` and `generate`.

        Raises `UserError` if the clip is too short, or is not raw coefficients [T, 58] of a face that is always found.
        """
        if clip.ndim != 2 or clip.shape[1] != NUM_COEFFICIENTS or not np.isfinite(clip).all():
            raise UserError(
                f"a style needs coefficients [T, {NUM_COEFFICIENTS}] without NaN, and the clip has shape {clip.shape}; "
                "give a stretch in which the face was found throughout"
            )
        if len(clip) < self.chunk:
            raise UserError(f"a style needs a clip of at least {self.chunk} frames, got {len(clip)}")
        space = self.weights.space
        chunks = in_chunks(jnp.asarray((clip - rest_of(clip)) @ space.encode)[None], self.chunk)
        network: Any = ListenerNetwork(self.weights.sizes)
        with exact_products():
            return network.apply({"params": self.weights.params}, chunks, method="style")[0]

    def _inputs(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        check_inputs(inputs)
        if inputs.speaker is None:
            raise UserError("the listener needs the speaker's coefficients; extract them from the video first")
        coefficients = np.asarray(inputs.speaker, np.float32)
        if coefficients.ndim != 3 or coefficients.shape[2] != NUM_COEFFICIENTS or 0 in coefficients.shape:
            hint = "; add the axis of the clips, speaker[None] and audio[None]" if coefficients.ndim == 2 else ""
            raise UserError(
                f"the speaker's coefficients have shape {coefficients.shape}, but the listener takes "
                f"[N, T, {NUM_COEFFICIENTS}], N and T at least 1{hint}"
            )
        shape = (*coefficients.shape[:2], NUM_BANDS)
        if inputs.audio is None:
            return coefficients, np.zeros(shape, np.float32), np.zeros(len(coefficients), np.float32)
        audio = np.asarray(inputs.audio)
        if audio.shape != (shape[0], shape[1] * SAMPLES_PER_FRAME):
            raise UserError(
                f"audio has shape {audio.shape}, but {shape[1]} frames need {(shape[0], shape[1] * SAMPLES_PER_FRAME)}"
            )
        check_audio(audio, len(audio))
        return coefficients, log_mel(audio), np.ones(len(coefficients), np.float32)

    def _run(
        self, state: ListenerState, coefficients: AnyArray, bands: AnyArray, heard: AnyArray
    ) -> tuple[ListenerState, Array]:
        control = self.control.checked()
        mode = _Mode(self.weights.sizes, self.steps, control.temperature == 0, control.guidance != 1)
        knobs = _Knobs(
            temperature=float(control.temperature),
            guidance=float(control.guidance),
            talks=float(control.talks),
            sensitivity=float(control.sensitivity),
            gain=gains(control),
            past_noise=_SUSPICION * self.weights.past_noise,
        )
        weights = (self.weights.params, self.weights.space)
        seen = (jnp.asarray(coefficients), jnp.asarray(bands), jnp.asarray(heard))
        with exact_products():
            return _answer(mode, weights, knobs, state, *seen)


_CLIPS_AT_ONCE = 32
"""At most; a batch of several is as large as the others."""
_BUCKET = 64
"""Clips are padded to a multiple of this many frames, and then to whole chunks."""
_SUSPICION = 1 / 3
"""Share of the largest noise in training that the own past is taken to have, though it has none: so it drifts less, and
answers the speaker better (docs/does_it_react.md)."""
_STYLE, _REST = 2**32 - 1, 2**32 - 2
"""Streams of a conversation's key; the others are its chunks' numbers."""


class _Mode(NamedTuple):
    """What the compiled program depends on."""

    sizes: Any
    steps: int
    expects: bool
    guided: bool


class _Knobs(NamedTuple):
    temperature: float
    guidance: float
    talks: float
    sensitivity: float
    gain: Float[np.ndarray, " C"]
    past_noise: float


@functools.partial(jax.jit, static_argnums=0)
def _answer(
    mode: _Mode,
    weights: tuple,
    knobs: _Knobs,
    state: ListenerState,
    coefficients: Float[Array, "B T C"],
    bands: Float[Array, "B T F"],
    heard: Float[Array, " B"],
) -> tuple[ListenerState, Float[Array, "B K T C"]]:
    """Any number of chunks; one after the other where the own past matters."""
    params, space = weights
    sizes = mode.sizes
    network: Any = ListenerNetwork(sizes)
    variables = {"params": params}
    batch, num_reactions = state.past.shape[:2]
    person, features = speaker_features.observe(
        state.person, coefficients, bands, heard, space.scale, knobs.sensitivity
    )
    seen, speaker = network.apply(variables, features, state.speaker, method="speaker")
    talks = jnp.full(batch, knobs.talks, jnp.float32)
    # Who does not talk does not move the mouth as if it did, however long the speaker is silent.
    moves = jnp.tile(1 - (1 - knobs.talks) * space.speech, sizes.chunk)
    lowest, highest = jnp.tile(space.lowest, sizes.chunk), jnp.tile(space.highest, sizes.chunk)
    means, ahead = network.apply(variables, seen, talks, state.ahead, method="expectation")
    if mode.expects:
        means *= moves[None, None]
        chunks = jnp.broadcast_to(means[:, None], (batch, num_reactions, *means.shape[1:]))
        own, past, lean = state.own, chunks[:, :, -1], state.lean
    else:

        def next_chunk(carry: tuple, seen: Array) -> tuple[tuple, Array]:
            own, past, lean, number = carry
            both = jnp.stack([seen, jnp.zeros_like(seen)]) if mode.guided else seen[None]

            def condition(seen: Array) -> tuple[Array, Array]:
                return network.apply(
                    variables,
                    seen[:, None, None],
                    past[:, :, None],
                    own,
                    state.style,
                    talks,
                    jnp.full(batch, knobs.past_noise, jnp.float32),
                    method="condition",
                )

            conditions, owns = jax.vmap(condition)(both)
            keys = jax.vmap(jax.random.fold_in, (0, None))(state.keys, number)

            def draw(key: Array, conditions: Array, past: Array) -> Array:
                return drawing.draw(
                    network,
                    params,
                    key,
                    conditions[:, :, 0],
                    past[:, -sizes.components :],
                    knobs.temperature,
                    knobs.guidance,
                    mode.steps,
                )

            chunk = jax.vmap(draw, (0, 1, 0))(keys, conditions, past) * moves[None, None]
            # Nobody in training moved further: an error in the own past can't feed on itself.
            chunk = jnp.clip(chunk, lowest[None, None], highest[None, None])
            chunk, lean = upright(chunk, lean, sizes.chunk)
            return (owns[0], chunk, lean, number + 1), chunk

        begin = (state.own, state.past, state.lean, state.chunk)
        (own, past, lean, _), chunks = jax.lax.scan(next_chunk, begin, jnp.moveaxis(seen, 1, 0))
        chunks = jnp.moveaxis(chunks, 0, 2)  # B K N FR
    frames = chunks.reshape(batch, num_reactions, -1, sizes.components)
    reactions = show(frames @ space.decode, state.rest, jnp.asarray(knobs.gain))
    number = state.chunk + seen.shape[1]
    state = state._replace(person=person, speaker=speaker, own=own, past=past, lean=lean, ahead=ahead, chunk=number)
    return state, reactions
