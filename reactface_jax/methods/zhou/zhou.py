"""The row of Zhou et al.: one pass over the speaker, deterministic, a frame behind.

Defects of the release, which `released` turns on: frames without a target count as hit in the loss; loudness and zero
crossings are of the whole frame, twice; and training starts from the real listener's first frame. An answer starts from
the mean face in either case, since nobody knows the real one.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from reactface_jax.config.zhou import ZhouConfig
from reactface_jax.errors import UserError
from reactface_jax.methods import moments
from reactface_jax.methods.features.windows import in_frames
from reactface_jax.methods.learned import Metrics, Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.windows import cut, draw_starts
from reactface_jax.methods.zhou import loss as losses
from reactface_jax.methods.zhou.hearing import NUM_FEATURES, heard
from reactface_jax.methods.zhou.network import LstmState, ZhouNetwork
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray, Batch


class ZhouState(NamedTuple):
    """Of a conversation."""

    lstm: LstmState
    next_frame: Float[Array, "B K C"]
    """Standardised; known a frame ahead."""


@dataclasses.dataclass(frozen=True)
class Zhou:
    """An LSTM from the speaker to the listener's next frame."""

    config: ZhouConfig = dataclasses.field(default_factory=ZhouConfig)
    name: str = "Zhou et al."
    needs: tuple[str, ...] = ("speaker", "audio")
    warm_up: int = 0
    stages: tuple[int, ...] = (0,)

    @property
    def network(self) -> Any:
        """A `ZhouNetwork`."""
        config = self.config
        return ZhouNetwork(config.channels, config.audio_features, config.input_width, config.width, config.dropout)

    def init(self, key: Key[Array, ""]) -> Variables:
        config = self.config
        audio, speaker = jnp.zeros((1, 1, config.audio_features)), jnp.zeros((1, 1, config.channels))
        params = self.network.init(key, audio, speaker, method="everything")["params"]
        return Variables(params, self.start_state())

    def start_state(self) -> dict[str, Any]:
        """Before anything is measured."""
        config = self.config
        return {"moments": {"face": moments.neutral(config.channels), "audio": moments.neutral(config.audio_features)}}

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        """Measures means and deviations: both people's faces together, since both listen in turn."""

        def features(batch: Batch) -> Mapping[str, Array]:
            frames = in_frames(batch.audio, SAMPLES_PER_FRAME)
            faces = jnp.concatenate([batch.speaker, batch.listener])
            return {"face": faces, "audio": heard(frames, released=self.config.released)}

        measured = moments.measure(batches, self.config.statistics_batches, features)
        return Variables(variables.params, {**variables.state, "moments": measured})

    def optimizer(self) -> optax.GradientTransformation:
        config = self.config

        def rate(step: Array) -> Array:
            epoch = step // config.epoch_steps
            return config.learning_rate * 0.5 ** ((epoch + 1) // config.halving)

        return optax.adamw(rate, config.b1, config.b2, weight_decay=config.weight_decay)

    def loss(
        self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]:
        """Of a window of each clip, uniform among all that begin in it and have `shortest` frames or more."""
        config, for_start, for_dropout = self.config, *jax.random.split(key)
        frames = batch.listener.shape[1]
        self._check(batch.listener)
        if frames < config.shortest:
            raise UserError(f"--data.clip-frames {frames} is too few for {self.name}; give {config.shortest} or more")
        starts = draw_starts(for_start, len(batch.listener), frames - config.shortest)
        clips = (in_frames(batch.audio, SAMPLES_PER_FRAME), batch.speaker, batch.listener)
        sound, speaker, listener = cut(clips, starts, min(config.window, frames))
        audio, speaker = self._seen(variables, sound, speaker)
        listener = moments.standardise(listener, variables.state["moments"]["face"])
        first = listener[:, 0] if config.released else jnp.zeros_like(listener[:, 0])
        params = {"params": variables.params}
        state = self.network.apply(params, first, method="start")
        _, hidden = self.network.apply(
            params, audio, speaker, state, deterministic=False, rngs={"dropout": for_dropout}
        )
        predicted = self.network.apply(params, hidden, method="frames")
        # The frame after each frame of the window, where it lies in the window and in the clip.
        lengths = jnp.minimum(listener.shape[1], frames - starts)
        has_target = jnp.arange(listener.shape[1])[None] < lengths[:, None] - 1
        target = jnp.pad(listener[:, 1:], ((0, 0), (0, 1), (0, 0)))
        found = losses.distances(predicted, target, has_target, released=config.released)
        return losses.total(found), (found, variables.state)

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        return self.step(variables, self.start(variables, num_reactions, keys), inputs)[1]

    def start(self, variables: Variables, num_reactions: int, keys: Key[Array, " B"]) -> ZhouState:
        """The state of B conversations that have not begun; nothing is drawn, so reactions and keys change nothing."""
        first = jnp.zeros((len(keys), self.config.channels))
        repeated = jnp.zeros((len(keys), num_reactions, self.config.channels))
        return ZhouState(self.network.apply({"params": variables.params}, first, method="start"), repeated)

    def step(self, variables: Variables, state: ZhouState, inputs: Inputs) -> tuple[ZhouState, Float[Array, "B K F C"]]:
        """Answers the next frames, each from the speaker up to the frame before it."""
        assert inputs.speaker is not None
        assert inputs.audio is not None
        self._check(inputs.speaker)
        sound = in_frames(inputs.audio, SAMPLES_PER_FRAME)
        audio, speaker = self._seen(variables, sound, inputs.speaker)
        params = {"params": variables.params}
        lstm, hidden = self.network.apply(params, audio, speaker, state.lstm)
        frames = self.network.apply(params, hidden, method="frames")
        repeated = jnp.broadcast_to(frames[:, None], (len(frames), state.next_frame.shape[1], *frames.shape[1:]))
        reactions = jnp.concatenate([state.next_frame[:, :, None], repeated[:, :, :-1]], axis=2)
        return ZhouState(lstm, repeated[:, :, -1]), moments.unstandardise(reactions, variables.state["moments"]["face"])

    def _seen(
        self, variables: Variables, sound: Float[AnyArray, "B T S"], speaker: Float[AnyArray, "B T C"]
    ) -> tuple[Float[Array, "B T A"], Float[Array, "B T C"]]:
        measured = variables.state["moments"]
        audio = moments.standardise(heard(sound, released=self.config.released), measured["audio"])
        return audio, moments.standardise(jnp.asarray(speaker), measured["face"])

    def _check(self, face: Float[AnyArray, "B T C"]) -> None:
        if face.shape[-1] != self.config.channels:
            raise UserError(
                f"{self.name} was made for {self.config.channels} coefficients a frame, and the data has "
                f"{face.shape[-1]}; train it on such data"
            )
        if self.config.audio_features != NUM_FEATURES:
            raise UserError(
                f"these weights of {self.name} hear {self.config.audio_features} numbers a frame, and 16 kHz gives "
                f"{NUM_FEATURES}; train it on such sound"
            )
