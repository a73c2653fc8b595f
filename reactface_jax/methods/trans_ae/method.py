"""The row: losses, optimiser and answers. The paper names it and released no code."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from reactface_jax import losses
from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import Metrics, Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.trans_ae.network import TransAeNetwork
from reactface_jax.online.generation import BUCKET
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.optimizer import check_patterns, frozen_patterns, learning_rate, make_optimizer, path_mask
from reactface_jax.types import SAMPLES_PER_FRAME, Batch


@dataclass(frozen=True)
class TransAe:
    """Raises `UserError` for a causal model, which has another speaker encoder."""

    config: Config
    name: str = "Trans-AE"
    warm_up: int = 0
    stages: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.config.model.causal:
            raise UserError("--model.causal is not for trans-ae, which has no causal form; leave it out")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("video", "audio") if self.config.model.use_video else ("audio",)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Regular expressions of the parameter paths that stay as they are."""
        return frozen_patterns(self.config.model, self.config.optimizer.frozen)

    @property
    def learning_rate(self) -> optax.Schedule:
        """For the log."""
        return learning_rate(self.config.optimizer, self.config.train.steps)

    def init(self, key: Key[Array, ""]) -> Variables:
        frames, size = self.config.model.period, self.config.data.image_size
        video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
        audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
        return Variables(self._network().lazy_init({"params": key}, video, audio)["params"], {})

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        return variables

    def optimizer(self) -> optax.GradientTransformation:
        """ReactFace's."""
        check_patterns(jax.eval_shape(self.init, jax.random.key(0)).params, self.config.optimizer)
        return make_optimizer(self.config.optimizer, self.config.train.steps, self.frozen)

    def loss(
        self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]:
        """Distance to the real listener, and the speaker's reconstruction, with ReactFace's weights."""
        held = path_mask(variables.params, self.frozen)
        params = jax.tree.map(lambda x, is_held: jax.lax.stop_gradient(x) if is_held else x, variables.params, held)
        apply: Any = self._network().apply
        video = to_unit_range(batch.video)
        listener, speaker = apply({"params": params}, video, batch.audio, deterministic=False, rngs={"dropout": key})
        weights = self.config.loss
        parts = {
            "reconstruction": losses.distance(listener, batch.listener, pose_weight=weights.pose),
            "speaker": losses.smooth_l1(speaker, batch.speaker).mean(),
        }
        loss = weights.reconstruction * parts["reconstruction"] + weights.speaker * parts["speaker"]
        return loss, (parts, variables.state)

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        assert inputs.audio is not None
        video = inputs.video
        if video is None:  # a model that only hears
            batch, length = inputs.audio.shape
            video = jnp.zeros((batch, length // SAMPLES_PER_FRAME, 0, 0, 3), jnp.uint8)
        # As ReactFace in use: the maps of a whole clip would take gigabytes.
        network = self._network(video_chunk=self.config.model.video_chunk or BUCKET)
        listener, _ = network.apply({"params": variables.params}, to_unit_range(video), inputs.audio)
        return jnp.repeat(listener[:, None], num_reactions, axis=1)

    def _network(self, *, video_chunk: int | None = None) -> TransAeNetwork:
        model = self.config.model
        if video_chunk is not None:
            model = dataclasses.replace(model, video_chunk=video_chunk)
        return TransAeNetwork(model, self.config.trans_ae.num_layers)
