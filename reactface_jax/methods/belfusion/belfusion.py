"""The row: two trainings, and latents drawn window by window.

Defects of the release, which `released` turns on because its checkpoints need them: it diffuses the encoder's last
state instead of the latent's mean, and decodes that as if it were the latent; and its training windows begin in a
clip's first 50 frames only.

Letters: B clips, K reactions or draws, N windows of w frames, A channels that are seen and made (58 coefficients or 25
attributes), Z latent.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from reactface_jax.config.belfusion import BelfusionConfig
from reactface_jax.errors import UserError
from reactface_jax.methods.belfusion.denoiser import Denoiser, add_noise, sample
from reactface_jax.methods.belfusion.vae import WindowVAE
from reactface_jax.methods.learned import Metrics, Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.stages import staged
from reactface_jax.methods.windows import cut, draw_starts
from reactface_jax.types import NUM_COEFFICIENTS, Batch

NUM_ATTRIBUTES = 25
_FIRST_FRAMES = 50
"""In which the release's windows begin."""


@dataclasses.dataclass(frozen=True)
class Belfusion:
    """A VAE of windows, then a diffusion of its latents."""

    config: BelfusionConfig = dataclasses.field(default_factory=BelfusionConfig)
    name: str = "BeLFusion"
    needs: tuple[str, ...] = ("speaker",)
    warm_up: int = 0

    @property
    def stages(self) -> tuple[int, ...]:
        return 0, self.config.vae_steps

    @property
    def channels(self) -> int:
        return NUM_ATTRIBUTES if self.config.attributes else NUM_COEFFICIENTS

    @property
    def vae(self) -> WindowVAE:
        config = self.config
        return WindowVAE(self.channels, config.width, (config.mlp_width,) * 2, regress=config.attributes)

    @property
    def denoiser(self) -> Denoiser:
        config = self.config
        return Denoiser(config.width, config.denoiser_width, config.denoiser_layers, config.time_width)

    def init(self, key: Key[Array, ""]) -> Variables:
        first, second = jax.random.split(key)
        latent = jnp.zeros((1, self.config.width))
        vae = self.vae.init(first, jnp.zeros((1, self.config.window, self.channels)), latent)
        denoiser = self.denoiser.init(second, latent, jnp.zeros(1, jnp.int32), latent)
        ones = jnp.ones(self.config.width)
        return Variables(
            {"vae": vae["params"], "denoiser": denoiser["params"]}, {"latent_minimum": -ones, "latent_maximum": ones}
        )

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        self._refuse_attributes()
        if stage == 0:
            return variables

        @jax.jit
        def extremes(params: Mapping[str, Any], batch: Batch) -> tuple[Array, Array]:
            people = self._windows(jnp.concatenate([batch.speaker, batch.listener]), 0)
            latents = self._encode(params, people.reshape(-1, *people.shape[2:]))
            return latents.min(0), latents.max(0)

        found = [
            [np.asarray(bound) for bound in extremes(variables.params, batch)]
            for batch, _ in zip(batches, range(self.config.statistics_batches), strict=False)
        ]
        minimum = jnp.asarray(np.min([bounds[0] for bounds in found], axis=0))
        maximum = jnp.asarray(np.max([bounds[1] for bounds in found], axis=0))
        return Variables(variables.params, {"latent_minimum": minimum, "latent_maximum": maximum})

    def optimizer(self) -> optax.GradientTransformation:
        decay = self.config.weight_decay
        parts = {
            "vae": optax.adamw(self.config.vae_rate, weight_decay=decay),
            "denoiser": optax.adamw(self.config.denoiser_rate, weight_decay=decay),
        }
        return staged(self.stages, parts)

    def loss(
        self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]:
        self._refuse_attributes()
        frames = batch.listener.shape[1]
        if frames < self.config.window:
            raise UserError(
                f"--data.clip-frames {frames} is less than --belfusion.window {self.config.window}; give more frames"
            )
        first = step < self.config.vae_steps
        loss, metrics = jax.lax.cond(first, self._vae_loss, self._denoiser_loss, variables, batch, key)
        return loss, (metrics, variables.state)

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        self._refuse_attributes()
        assert inputs.speaker is not None
        return self.react(variables, jnp.asarray(inputs.speaker), num_reactions, keys=keys)[0]

    def react(
        self, variables: Variables, speaker: Float[Array, "B T A"], num_reactions: int, *, keys: Key[Array, " B"]
    ) -> tuple[Float[Array, "B K T C"], Float[Array, "B K T A"]]:
        """Coefficients of reactions, and the attributes that they come from (the same without attributes).

        Args:
          variables: trained, or converted.
          speaker: the speaker's attributes, or coefficients relative to the mean face. A last window that he does not
            fill is filled with his last frame.
          num_reactions: K.
          keys: a clip's own.
        """
        window, (batch, frames, channels) = self.config.window, speaker.shape
        count = -(-frames // window)
        speaker = jnp.pad(speaker, [(0, 0), (0, count * window - frames), (0, 0)], mode="edge")
        if self.config.online:
            speaker = jnp.pad(speaker, [(0, 0), (window, 0), (0, 0)])[:, : count * window]
        condition = self._scaled(variables, self._encode(variables.params, speaker.reshape(-1, window, channels)))
        shape = (num_reactions, count, self.config.width)
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)  # B K N Z
        condition = jnp.broadcast_to(condition.reshape(batch, 1, count, -1), noise.shape)
        latents = self._sample(variables, noise.reshape(-1, shape[-1]), condition.reshape(-1, shape[-1]))
        decoded = self._decode(variables.params, self._unscaled(variables, latents))
        coefficients = self._vae(variables.params, decoded, method="coefficients") if self._regresses else decoded

        def joined(windows: Array) -> Array:
            return windows.reshape(batch, num_reactions, count * window, -1)[:, :, :frames]

        return joined(coefficients), joined(decoded)

    def _vae_loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        for_offset, for_noise = jax.random.split(key)
        frames = batch.listener.shape[1]
        offset = jax.random.randint(for_offset, (), 0, frames % self.config.window + 1)
        windows = self._windows(jnp.asarray(batch.listener), offset)
        windows = windows.reshape(-1, *windows.shape[2:])
        noise = jax.random.normal(for_noise, (len(windows), self.config.width))
        decoded, _, encoded = self._vae(variables.params, windows, noise)
        reconstruction = jnp.square(decoded - windows).mean()
        log_variance = encoded.log_variance
        kl = -0.5 * (1 + log_variance - jnp.square(encoded.mean) - jnp.exp(log_variance)).sum() / len(batch.listener)
        return reconstruction + self.config.kl * kl, _metrics(reconstruction=reconstruction, kl=kl)

    def _denoiser_loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        config, clips = self.config, len(batch.listener)
        for_start, for_time, for_noise = jax.random.split(key, 3)
        frozen = jax.lax.stop_gradient(variables.params)
        last = batch.listener.shape[1] - config.window
        start = draw_starts(for_start, clips, min(last, _FIRST_FRAMES - 1) if config.released else last)
        listener = cut(batch.listener, start, config.window)
        speaker = jnp.asarray(batch.speaker)
        if config.online:
            speaker = jnp.pad(speaker, [(0, 0), (config.window, 0), (0, 0)])
        speaker = cut(speaker, start, config.window)
        latent = self._scaled(variables, self._encode(frozen, listener))
        condition = self._scaled(variables, self._encode(frozen, speaker))
        time = jax.random.randint(for_time, (clips,), 0, config.diffusion_steps)
        noise = jax.random.normal(for_noise, (config.draws, *latent.shape))

        def of_draw(noise: Array) -> tuple[Array, Array]:
            noisy = add_noise(latent, time, noise, config.diffusion_steps)
            clean = self._denoise(variables, noisy, time, condition)
            decoded = self._decode(frozen, self._unscaled(variables, clean))
            return jnp.abs(clean - latent).mean(-1), jnp.square(decoded - listener).mean((1, 2))

        in_latents, in_frames = (each.min(0).mean() for each in jax.vmap(of_draw)(noise))
        loss = config.latent * in_latents + config.decoded * in_frames
        return loss, _metrics(latent=in_latents, decoded=in_frames)

    @property
    def _regresses(self) -> bool:
        return self.config.attributes

    def _vae(self, params: Mapping[str, Any], *operands: Any, **more: Any) -> Any:
        return self.vae.apply({"params": params["vae"]}, *operands, **more)

    def _encode(self, params: Mapping[str, Any], windows: Float[Array, "B w A"]) -> Float[Array, "B Z"]:
        encoded = self._vae(params, windows, method="encode")
        latent: Array = encoded.hidden if self.config.released else encoded.mean
        return latent

    def _decode(self, params: Mapping[str, Any], latents: Float[Array, "B Z"]) -> Float[Array, "B w A"]:
        decoded: Array = self._vae(params, latents, self.config.window, method="decode")
        return decoded

    def _scaled(self, variables: Variables, latents: Float[Array, "B Z"]) -> Float[Array, "B Z"]:
        """From -1 at the training split's minimum to 1 at its maximum."""
        minimum, span = self._range(variables)
        return 2 * (latents - minimum) / span - 1

    def _unscaled(self, variables: Variables, latents: Float[Array, "B Z"]) -> Float[Array, "B Z"]:
        minimum, span = self._range(variables)
        return (latents + 1) / 2 * span + minimum

    def _range(self, variables: Variables) -> tuple[Array, Array]:
        minimum, maximum = variables.state["latent_minimum"], variables.state["latent_maximum"]
        return minimum[None], jnp.maximum(maximum - minimum, 1e-6)[None]

    def _sample(
        self, variables: Variables, noise: Float[Array, "B Z"], condition: Float[Array, "B Z"]
    ) -> Float[Array, "B Z"]:
        def denoise(noisy: Array, time: Array) -> Array:
            return self._denoise(variables, noisy, time, condition)

        return sample(denoise, noise, self.config.diffusion_steps)[0]

    def _denoise(self, variables: Variables, noisy: Array, time: Array, condition: Array) -> Float[Array, "B Z"]:
        apply: Any = self.denoiser.apply
        clean: Array = apply({"params": variables.params["denoiser"]}, noisy, time, condition)
        return clean

    def _windows(self, x: Float[Array, "B T A"], offset: int | Int[Array, ""]) -> Float[Array, "B N w A"]:
        """All whole windows from a frame on that leaves room for as many as from the first."""
        window, count = self.config.window, x.shape[1] // self.config.window
        x = jax.lax.dynamic_slice_in_dim(x, offset, count * window, axis=1)
        return x.reshape(len(x), count, window, x.shape[-1])

    def _refuse_attributes(self) -> None:
        if self.config.attributes:
            raise UserError(
                "--belfusion.attributes needs the speaker's 25 attributes, which a shard set does not hold; leave it "
                "out to learn from the 58 coefficients, or call Belfusion.react with attributes"
            )


def _metrics(**values: Any) -> Metrics:
    """All figures of both stages; those of the other stage are 0."""
    return {name: jnp.asarray(values.get(name, 0.0)) for name in ("reconstruction", "kl", "latent", "decoded")}
