"""The row: two trainings, and codes drawn one after another.

Defects of the release, which `released` turns on because its checkpoints need them: a code is a quarter of the channels
at four steps (vqvae.py); the past codes are decoded and encoded again before each prediction; and when it generates,
the voice is read at a quarter of the right place.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from reactface_jax.config.ng import NgConfig
from reactface_jax.errors import UserError
from reactface_jax.methods import moments
from reactface_jax.methods.learned import Metrics, Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.ng.bilateral import smooth
from reactface_jax.methods.ng.generation import generate
from reactface_jax.methods.ng.log_mel import NUM_BANDS, STEPS_A_FRAME, log_mel
from reactface_jax.methods.ng.predictor import SPEAKER_FRAMES, Predictor
from reactface_jax.methods.ng.vqvae import FRAMES, STEPS, VQVAE
from reactface_jax.methods.stages import staged
from reactface_jax.methods.windows import cut, draw_starts
from reactface_jax.types import AnyArray, Batch

WINDOW = 2 * FRAMES
"""Of training: the past 32 frames and the next 32."""
_POSE = 3
_Loss = tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]
_BETAS = {"b1": 0.9, "b2": 0.98, "eps": 1e-9}


@dataclasses.dataclass(frozen=True)
class Ng:
    """A VQ-VAE over the listener, then a predictor of its codes."""

    config: NgConfig = dataclasses.field(default_factory=NgConfig)
    name: str = "Ng et al."
    needs: tuple[str, ...] = ("speaker", "audio")
    warm_up: int = FRAMES

    @property
    def stages(self) -> tuple[int, ...]:
        return 0, self.config.vqvae_steps

    @property
    def vqvae(self) -> VQVAE:
        config = self.config
        return VQVAE(
            channels=config.channels,
            width=config.width,
            num_heads=config.num_heads,
            num_layers=config.num_layers,
            feed_forward=config.feed_forward,
            num_codes=config.num_codes,
            released=config.released,
        )

    @property
    def predictor(self) -> Predictor:
        config = self.config
        return Predictor(
            num_codes=config.num_codes,
            width=config.token_width,
            speaker_width=config.speaker_width,
            num_heads=config.predictor_heads,
            feed_forward=config.predictor_feed_forward,
            speaker_layers=config.speaker_layers,
            num_layers=config.predictor_layers,
        )

    def init(self, key: Key[Array, ""]) -> Variables:
        first, second = jax.random.split(key)
        block = jnp.zeros((1, FRAMES, self.config.channels))
        vqvae = self.vqvae.init(first, block)
        motion = jnp.zeros((1, SPEAKER_FRAMES, self.config.channels))
        sound = jnp.zeros((1, STEPS_A_FRAME * SPEAKER_FRAMES, NUM_BANDS))
        predictor = self.predictor.init(second, jnp.zeros((1, STEPS), jnp.int32), STEPS, motion, sound)
        return Variables(
            {"vqvae": vqvae["params"], "predictor": predictor["params"]},
            {
                "batch_stats": {"vqvae": vqvae["batch_stats"], "predictor": predictor["batch_stats"]},
                "moments": {"face": moments.neutral(self.config.channels), "sound": moments.neutral(NUM_BANDS)},
            },
        )

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        if stage > 0:
            return variables
        measured = moments.measure(batches, self.config.statistics_batches, _features)
        return Variables(variables.params, {**variables.state, "moments": measured})

    def optimizer(self) -> optax.GradientTransformation:
        config = self.config
        vqvae = optax.adamw(
            _rate(config.vqvae_rate, config.width, config.warmup_steps), weight_decay=config.weight_decay, **_BETAS
        )
        predictor = optax.adam(_rate(config.predictor_rate, config.token_width, config.warmup_steps), **_BETAS)
        return staged(self.stages, {"vqvae": vqvae, "predictor": predictor})

    def loss(self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]) -> _Loss:
        self._check(batch.listener)
        frames = batch.listener.shape[1]
        if frames < WINDOW:
            raise UserError(f"--data.clip-frames {frames} is too few for {self.name}; give {WINDOW} or more")
        for_start, for_kept = jax.random.split(key)
        start = draw_starts(for_start, len(batch.listener), frames - WINDOW)
        listener = cut(self._face(variables, batch.listener), start, WINDOW)
        operands = (variables, batch, listener, start, for_kept)
        return jax.lax.cond(step < self.config.vqvae_steps, self._vqvae_loss, self._predictor_loss, *operands)

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        assert inputs.speaker is not None
        assert inputs.audio is not None
        self._check(inputs.speaker)
        frames = inputs.speaker.shape[1]
        motion = self._face(variables, inputs.speaker)
        sound = log_mel(jnp.asarray(inputs.audio), jnp.zeros(len(motion), jnp.int32), frames)
        sound = moments.standardise(sound, variables.state["moments"]["sound"])
        reactions = generate(
            vqvae=partial(self.vqvae.apply, _of(variables, "vqvae")),
            predictor=partial(self.predictor.apply, _of(variables, "predictor")),
            motion=motion,
            sound=sound,
            keys=jax.vmap(lambda key: jax.random.split(key, num_reactions))(keys),
            draw=self.config,
        )
        return moments.unstandardise(reactions, variables.state["moments"]["face"])

    def _vqvae_loss(self, variables: Variables, batch: Batch, listener: Array, start: Array, key: Array) -> _Loss:
        blocks = listener.reshape(-1, FRAMES, listener.shape[-1])
        (decoded, quantised), changed = self.vqvae.apply(
            _of(variables, "vqvae"), blocks, train=True, mutable=["batch_stats"]
        )
        expressions = self.config.channels - 2 * _POSE
        parts = jnp.split(decoded - blocks, (expressions, expressions + _POSE), axis=-1)
        reconstruction = sum(jnp.abs(part).mean() for part in parts)
        metrics = _metrics(reconstruction=reconstruction, quantisation=quantised.loss)
        return reconstruction + quantised.loss, (metrics, _with_batch_stats(variables.state, "vqvae", changed))

    def _predictor_loss(self, variables: Variables, batch: Batch, listener: Array, start: Array, key: Array) -> _Loss:
        blocks = listener.reshape(-1, FRAMES, listener.shape[-1])
        found: Any = self.vqvae.apply(_of(variables, "vqvae"), blocks, method="to_codes")
        codes = found.reshape(-1, 2, STEPS)
        past, target = codes[:, 0], codes[:, 1]
        motion = cut(self._face(variables, batch.speaker), start, SPEAKER_FRAMES)
        sound = log_mel(jnp.asarray(batch.audio), start, SPEAKER_FRAMES)
        sound = moments.standardise(sound, variables.state["moments"]["sound"])
        kept = jnp.minimum(jax.random.randint(key, (), 0, self.config.kept_draws + 1), STEPS)
        logits, changed = self.predictor.apply(
            _of(variables, "predictor"), past, kept, motion, sound, train=True, mutable=["batch_stats"]
        )
        logits = logits[:, :STEPS]
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, target).mean()
        metrics = _metrics(cross_entropy=loss, accuracy=(logits.argmax(-1) == target).mean(dtype=jnp.float32))
        return loss, (metrics, _with_batch_stats(variables.state, "predictor", changed))

    def _face(self, variables: Variables, coefficients: Float[AnyArray, "B T C"]) -> Float[Array, "B T C"]:
        return moments.standardise(smooth(coefficients), variables.state["moments"]["face"])

    def _check(self, coefficients: Float[AnyArray, "B T C"]) -> None:
        found = coefficients.shape[-1]
        if found != self.config.channels:
            raise UserError(
                f"these weights of {self.name} are for {self.config.channels} coefficients a frame, but the data has "
                f"{found}; train it on this data"
            )


def _features(batch: Batch) -> dict[str, Float[Array, "*A C"]]:
    frames = batch.speaker.shape[1]
    start = jnp.zeros(len(batch.speaker), jnp.int32)
    return {
        "face": smooth(jnp.concatenate([batch.speaker, batch.listener])),
        "sound": log_mel(jnp.asarray(batch.audio), start, frames),
    }


def _rate(factor: float, width: int, warmup_steps: int) -> optax.Schedule:
    """Vaswani et al., 2017, equation 3."""

    def rate(count: ArrayLike) -> Array:
        n = jnp.asarray(count, jnp.float32) + 1
        return factor * width**-0.5 * jnp.minimum(n**-0.5, n * warmup_steps**-1.5)

    return rate


def _of(variables: Variables, network: str) -> dict[str, Any]:
    return {"params": variables.params[network], "batch_stats": variables.state["batch_stats"][network]}


def _with_batch_stats(state: Mapping[str, Any], network: str, changed: Any) -> Mapping[str, Any]:
    return {**state, "batch_stats": {**state["batch_stats"], network: changed["batch_stats"]}}


def _metrics(**values: ArrayLike) -> Metrics:
    """All figures of both stages; those of the other stage are 0."""
    names = ("reconstruction", "quantisation", "cross_entropy", "accuracy")
    return {name: jnp.asarray(values.get(name, 0.0), jnp.float32) for name in names}
