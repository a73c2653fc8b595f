"""The row: one training, offline or online.

Letters: B clips, K reactions, T frames, N windows of w frames, D feature width, C the 58 coefficients.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from reactface_jax.config.trans_vae import TransVaeConfig
from reactface_jax.errors import UserError
from reactface_jax.methods.features import SPEECH_LEVEL
from reactface_jax.methods.features.kaldi_mfcc import kaldi_mfcc, with_deltas
from reactface_jax.methods.features.windows import in_frames
from reactface_jax.methods.learned import Metrics, Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.trans_vae.network import NUM_ATTRIBUTES, Reaction, TransVAE
from reactface_jax.methods.trans_vae.speaker_encoder import NUM_MFCC
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION, SAMPLES_PER_FRAME, AnyArray, Batch

_SMALLEST = 64
"""Pictures that touch all parameters in `init`."""


@dataclasses.dataclass(frozen=True)
class TransVae:
    """A transformer VAE of the speaker's video and voice."""

    config: TransVaeConfig = dataclasses.field(default_factory=TransVaeConfig)
    name: str = "Trans-VAE"
    needs: tuple[str, ...] = ("video", "audio")
    warm_up: int = 0
    stages: tuple[int, ...] = (0,)

    @property
    def network(self) -> TransVAE:
        config = self.config
        return TransVAE(config.feature_dim, config.attributes, config.online, config.video_chunk)

    def init(self, key: Key[Array, ""]) -> Variables:
        window = self.config.window
        video = jnp.zeros((1, window, _SMALLEST, _SMALLEST, 3))
        noise = jnp.zeros((1, 1, 1, self.config.feature_dim))
        params = self.network.init(key, video, jnp.zeros((1, window, NUM_MFCC)), noise, window)["params"]
        return Variables(params, {})

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        self._refuse_attributes()
        return variables

    def optimizer(self) -> optax.GradientTransformation:
        return optax.adamw(self.config.learning_rate, weight_decay=self.config.weight_decay)

    def loss(
        self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]:
        self._refuse_attributes()
        config, frames = self.config, batch.listener.shape[1]
        if config.online and frames < config.window:
            raise UserError(
                f"--data.clip-frames {frames} is less than --trans-vae.window {config.window}; give more frames"
            )
        frames = frames // config.window * config.window if config.online else frames
        video, mfcc = to_unit_range(batch.video[:, :frames]), speech_features(batch.audio)[:, :frames]

        def react(key: Array, params: Any) -> Reaction:
            for_noise, for_dropout = jax.random.split(key)
            windows = frames // config.window if config.online else 1
            noise = jax.random.normal(for_noise, (len(video), 1, windows, config.feature_dim))
            return self._react(params, video, mfcc, noise, config.window, {"dropout": for_dropout})

        first, second = jax.random.split(key)
        reaction = react(first, variables.params)
        other = react(second, jax.lax.stop_gradient(variables.params))
        found, target = reaction.coefficients[:, 0], batch.listener[:, :frames]
        error = jnp.square(found - target)
        expression, pose = error[..., :NUM_EXPRESSION].mean(), error[..., NUM_EXPRESSION:].mean()
        variance = jnp.square(reaction.std)
        kl = -0.5 * (1 + jnp.log(variance) - jnp.square(reaction.mean) - variance).mean()
        alike = jnp.exp(-jnp.square(found - other.coefficients[:, 0]).sum((1, 2)) / 100).mean()
        loss = expression + config.pose * pose + config.kl * kl + config.diversity * alike
        return loss, ({"expression": expression, "pose": pose, "kl": kl, "alike": alike}, variables.state)

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        assert inputs.video is not None
        assert inputs.audio is not None
        video, mfcc = to_unit_range(inputs.video), speech_features(inputs.audio)
        return self.react(variables, video, mfcc, num_reactions, keys=keys).coefficients

    def react(
        self,
        variables: Variables,
        video: Float[Array, "B T H W 3"],
        mfcc: Float[Array, "B T 78"],
        num_reactions: int,
        *,
        keys: Key[Array, " B"],
    ) -> Reaction:
        """Reactions with their attributes, if the model has them.

        Args:
          variables: trained, or converted.
          video: frames in [-1, 1].
          mfcc: from `speech_features`.
          num_reactions: K.
          keys: a clip's own.
        """
        window, frames = self.config.eval_window, video.shape[1]
        whole = frames // window * window
        missing = whole - frames if self.config.released else -frames % window
        windows = (frames + missing) // window if self.config.online else 1
        shape = (num_reactions, windows, self.config.feature_dim)
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        if not self.config.online:
            return self._react(variables.params, video, mfcc, noise, window, None)
        if windows == 0:  # of the release, which answers whole windows only
            zeros = jnp.zeros((len(video), num_reactions, frames, NUM_COEFFICIENTS + NUM_ATTRIBUTES))
            attributes = zeros[..., NUM_COEFFICIENTS:] if self.config.attributes else None
            return Reaction(zeros[..., :NUM_COEFFICIENTS], attributes, noise, noise)
        # The frames that the last window lacks stand still; the release leaves that window zero.
        video, mfcc = (_fit(x, frames + missing) for x in (video, mfcc))
        reaction = self._react(variables.params, video, mfcc, noise, window, None)
        return reaction._replace(
            coefficients=_length(reaction.coefficients, frames),
            attributes=None if reaction.attributes is None else _length(reaction.attributes, frames),
        )

    def _react(
        self,
        params: Any,
        video: Array,
        mfcc: Array,
        noise: Float[Array, "B K N D"],
        window: int,
        rngs: dict[str, Array] | None,
    ) -> Reaction:
        apply: Any = self.network.apply  # by its annotation a tuple may come back
        deterministic = rngs is None
        reaction: Reaction
        if self.config.online:
            reaction = apply(
                {"params": params},
                video,
                mfcc,
                noise,
                window,
                deterministic=deterministic,
                rngs=rngs,
                method="in_windows",
            )
        else:
            reaction = apply(
                {"params": params},
                video,
                mfcc,
                noise[:, :, 0],
                deterministic=deterministic,
                rngs=rngs,
                method="offline",
            )
        return reaction

    def _refuse_attributes(self) -> None:
        if self.config.attributes:
            raise UserError(
                "--trans-vae.attributes can't be trained: it needs the listener's 25 attributes, which a shard set "
                "does not hold; leave it out to learn the 58 coefficients only"
            )


def speech_features(audio: Float[AnyArray, "B L"]) -> Float[Array, "B T 78"]:
    """MFCC and deltas of each frame, of sound that is normalised over its file; not standardised."""
    return with_deltas(kaldi_mfcc(in_frames(jnp.asarray(audio) * SPEECH_LEVEL, SAMPLES_PER_FRAME)))


def _fit(x: Float[Array, "B T ..."], frames: int) -> Float[Array, "B T2 ..."]:
    """Cut, or the last frame repeated."""
    more = max(frames - x.shape[1], 0)
    return jnp.pad(x, [(0, 0), (0, more)] + [(0, 0)] * (x.ndim - 2), mode="edge")[:, :frames]


def _length(x: Float[Array, "B K T C"], frames: int) -> Float[Array, "B K T2 C"]:
    """Cut, or zeros at the end."""
    more = max(frames - x.shape[2], 0)
    return jnp.pad(x, [(0, 0), (0, 0), (0, more), (0, 0)])[:, :, :frames]
