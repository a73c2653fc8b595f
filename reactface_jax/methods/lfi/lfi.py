"""The row of "Let's Face It": frames drawn from a flow, each from what was drawn before and what is seen of the other.

Deviations: own speech is left out, since listeners have none; sound is brought to 25 values a second frame by frame
(features/), not by a Fourier transform of the whole file; and 24 mean frames before a clip let its first frame be
answered. `released` turns on a defect that changes the loss only: log-determinants of actnorm and of the linear maps
count as often as a frame has channels. Another defect is not kept: the release's resumed training starts actnorm again.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from reactface_jax.config.lfi import LfiConfig
from reactface_jax.errors import UserError
from reactface_jax.methods import moments
from reactface_jax.methods.features.speech import NUM_SPEECH_FEATURES, speech_features
from reactface_jax.methods.features.windows import in_frames
from reactface_jax.methods.learned import Metrics, Variables
from reactface_jax.methods.lfi import sampling
from reactface_jax.methods.lfi.loss import bits
from reactface_jax.methods.lfi.network import Keep, LfiNetwork
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.windows import cut, draw_starts
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray, Batch


class LfiState(NamedTuple):
    """Of a conversation; all but the sound is standardised."""

    drawn: sampling.Drawn
    face: Float[Array, "B N C"]
    """The speaker's latest `LfiConfig.context` frames, which an answer sees besides its own."""
    speech: Float[Array, "B N S"]
    sound: Float[Array, "B 640"]
    """Of the latest frame."""
    keys: Key[Array, "B K"]
    frame: Int[Array, ""]
    """How many there were."""


@dataclasses.dataclass(frozen=True)
class Lfi:
    """An autoregressive conditional flow."""

    config: LfiConfig = dataclasses.field(default_factory=LfiConfig)
    name: str = "LFI"
    needs: tuple[str, ...] = ("speaker", "audio")
    stages: tuple[int, ...] = (0,)

    @property
    def warm_up(self) -> int:
        return self.config.context

    @property
    def network(self) -> Any:
        """An `LfiNetwork`."""
        config = self.config
        return LfiNetwork(
            channels=config.channels,
            speech_features=NUM_SPEECH_FEATURES,
            history=config.history,
            face_window=config.face_window,
            speech_window=config.speech_window,
            face_width=config.face_width,
            speech_width=config.speech_width,
            flow_steps=config.flow_steps,
            condition_width=config.condition_width,
            hidden_width=config.hidden_width,
            own_speech=config.own_speech,
            released=config.released,
        )

    def init(self, key: Key[Array, ""]) -> Variables:
        frames = self.config.context + 1
        face, speech = jnp.zeros((1, frames, self.config.channels)), jnp.zeros((1, frames, NUM_SPEECH_FEATURES))
        variables = self.network.init(key, face, speech, method="everything")
        return Variables(variables["params"], self.start_state(variables["fixed"]))

    def start_state(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Before anything is measured.

        Args:
          fixed: permutations and signs of the linear maps.
        """
        neutral = {"face": moments.neutral(self.config.channels), "speech": moments.neutral(NUM_SPEECH_FEATURES)}
        return {
            "fixed": fixed,
            "moments": neutral,
            "has_actnorm": jnp.zeros((), bool),
            "mismatched_log_likelihood": jnp.asarray(math.inf, jnp.float32),
        }

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        """Measures means and deviations, both people's faces together; and actnorm's start, unless it has one."""
        batches = iter(batches)
        first = next(batches)
        self._check(first.listener, training=True)

        def features(batch: Batch) -> Mapping[str, Array]:
            faces = jnp.concatenate([batch.speaker, batch.listener])
            return {"face": faces, "speech": speech_features(batch.audio)}

        count = self.config.statistics_batches
        measured = moments.measure(itertools.chain([first], batches), count, features)
        variables = Variables(variables.params, {**variables.state, "moments": measured})
        if variables.state["has_actnorm"]:
            return variables
        found = jax.jit(self._measured_actnorms)(variables, first)
        params = {name: {**value, **found.get(name, {})} for name, value in variables.params.items()}
        return Variables(params, {**variables.state, "has_actnorm": jnp.ones((), bool)})

    def optimizer(self) -> optax.GradientTransformation:
        config = self.config

        def rate(step: Array) -> Array:
            return config.learning_rate * config.decay ** (step // config.decay_steps)

        return optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.adam(rate, config.b1, config.b2))

    def loss(
        self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]:
        """Of a window of each clip, uniform among all.

        In some batches each listener gets another clip's speaker, and that is made unlikely, as long as it was likely
        the last time (a density above 1, in bits above 0).
        """
        self._check(batch.listener, training=True)
        config = self.config
        for_start, for_mismatch, for_order, for_face, for_speech = jax.random.split(key, 5)
        count, frames = batch.listener.shape[:2]
        window = min(config.window, frames)
        starts = draw_starts(for_start, count, frames - window)
        face, speech, listener = self._windows(variables, batch, starts, window)
        listener = self._blurred(listener, jax.random.fold_in(key, 5))  # not one of the five above

        state = variables.state
        mismatched = jax.random.uniform(for_mismatch) < config.mismatched_rate
        mismatched &= state["mismatched_log_likelihood"] > 0
        order = jnp.where(mismatched, jax.random.permutation(for_order, count), jnp.arange(count))
        answered = window - config.context
        keep = Keep(
            _keep(for_face, config.face_dropout, (count, answered, config.face_window)),
            _keep(for_speech, config.speech_dropout, (count, answered, config.speech_window)),
        )
        arrays = _arrays(variables)
        other = self.network.apply(arrays, face[order], speech[order], keep=keep, method="other")
        z, log_determinant = self.network.apply(arrays, listener, other, method="forward")
        nll = bits(z, log_determinant).mean()
        log_likelihood = jnp.where(mismatched, -jax.lax.stop_gradient(nll), state["mismatched_log_likelihood"])
        loss = jnp.where(mismatched, -config.mismatched_weight * nll, nll)
        figures = {"bits": nll, "mismatched": mismatched.astype(jnp.float32)}
        return loss, (figures, {**state, "mismatched_log_likelihood": log_likelihood})

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        return self.step(variables, self.start(variables, num_reactions, keys), inputs)[1]

    def start(self, variables: Variables, num_reactions: int, keys: Key[Array, " B"]) -> LfiState:
        """The state of B conversations that have not begun: mean faces and mean sound before them."""
        batch, past = len(keys), self.config.context
        return LfiState(
            drawn=sampling.start(self.network, batch, num_reactions),
            face=jnp.zeros((batch, past, self.config.channels)),
            speech=jnp.zeros((batch, past, NUM_SPEECH_FEATURES)),
            sound=jnp.zeros((batch, SAMPLES_PER_FRAME)),
            keys=jax.vmap(lambda key: jax.random.split(key, num_reactions))(keys),
            frame=jnp.zeros((), jnp.int32),
        )

    def step(self, variables: Variables, state: LfiState, inputs: Inputs) -> tuple[LfiState, Float[Array, "B K F C"]]:
        """Answers the next frames, each from the speaker up to it and from its own noise."""
        assert inputs.speaker is not None
        assert inputs.audio is not None
        self._check(inputs.speaker)
        measured, arrays = variables.state["moments"], _arrays(variables)
        count, audio = inputs.speaker.shape[1], jnp.asarray(inputs.audio)
        new_speech = moments.standardise(speech_features(audio, state.sound), measured["speech"])
        new_face = moments.standardise(jnp.asarray(inputs.speaker), measured["face"])
        speech = jnp.concatenate([state.speech, new_speech], axis=1)
        face = jnp.concatenate([state.face, new_face], axis=1)
        other = self.network.apply(arrays, face, speech, method="other")
        drawn, frames = sampling.sample(
            self.network, arrays, state.drawn, other, _noise(state.keys, state.frame, count, self.config.channels)
        )
        kept = self.config.context
        following = LfiState(
            drawn, face[:, -kept:], speech[:, -kept:], audio[:, -SAMPLES_PER_FRAME:], state.keys, state.frame + count
        )
        return following, moments.unstandardise(frames, measured["face"])

    def _windows(
        self, variables: Variables, batch: Batch, starts: Int[Array, " B"], size: int
    ) -> tuple[Float[Array, "B T C"], Float[Array, "B T S"], Float[Array, "B T C"]]:
        """Standardised faces and speech of the speakers, and faces of the listeners."""
        measured = variables.state["moments"]
        speaker, listener = cut((batch.speaker, batch.listener), starts, size)
        before = jnp.pad(in_frames(batch.audio, SAMPLES_PER_FRAME), ((0, 0), (1, 0), (0, 0)))
        sound = cut(before, starts, size + 1)
        speech = speech_features(sound[:, 1:].reshape(len(sound), -1), sound[:, 0])
        return (
            moments.standardise(speaker, measured["face"]),
            moments.standardise(speech, measured["speech"]),
            moments.standardise(listener, measured["face"]),
        )

    def _blurred(self, listener: Float[Array, "B T C"], key: Key[Array, ""]) -> Float[Array, "B T C"]:
        if self.config.noise == 0:
            return listener
        return listener + self.config.noise * jax.random.normal(key, listener.shape)

    def _measured_actnorms(self, variables: Variables, batch: Batch) -> dict[str, dict[str, Array]]:
        """From the batch's first windows."""
        starts = jnp.zeros(len(batch.listener), jnp.int32)
        face, speech, listener = self._windows(variables, batch, starts, self.config.context + 1)
        listener = self._blurred(listener, jax.random.key(0))
        arrays = _arrays(variables)
        other = self.network.apply(arrays, face, speech, method="other")
        found: dict[str, dict[str, Array]] = self.network.apply(arrays, listener, other, method="measured_actnorms")
        return found

    def _check(self, face: Float[AnyArray, "B T C"], *, training: bool = False) -> None:
        _, frames, channels = face.shape
        if channels != self.config.channels:
            raise UserError(
                f"{self.name} was made for {self.config.channels} coefficients a frame, and the data has {channels}; "
                "train it on such data"
            )
        if training and frames <= self.config.context:
            raise UserError(
                f"--data.clip-frames {frames} is too few for {self.name}; give {self.config.context + 1} or more"
            )


def _arrays(variables: Variables) -> dict[str, Any]:
    return {"params": variables.params, "fixed": variables.state["fixed"]}


def _keep(key: Key[Array, ""], rate: float, shape: tuple[int, ...]) -> Float[Array, "B N W"]:
    """What is kept, scaled so that the mean stays."""
    return jax.random.bernoulli(key, 1 - rate, shape) / (1 - rate)


def _noise(keys: Key[Array, "B K"], first: Int[Array, ""], count: int, size: int) -> Float[Array, "B K N C"]:
    """Of `count` frames from a conversation's frame `first` on: the same however they are cut."""

    def of_frame(key: Array, frame: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, frame), (size,))

    frames = first + jnp.arange(count)
    return jax.vmap(jax.vmap(lambda key: jax.vmap(lambda frame: of_frame(key, frame))(frames)))(keys)
