"""The fields of BeLFusion (methods/belfusion)."""

from dataclasses import dataclass

from reactface_jax.config.ranges import Count, Positive, Section, Weight


@dataclass(frozen=True)
class BelfusionConfig(Section, name="belfusion"):
    """The VAE, then the denoiser; the defaults are the release's. `train.steps` counts both trainings."""

    attributes: bool = False  # the challenge's 25 attributes instead of the coefficients, as in released checkpoints
    online: bool = False  # the speaker's window before the listener's, instead of the same
    window: Count = 50
    width: Count = 128  # of the GRUs and of the latent
    mlp_width: Count = 64  # of the two layers between GRU and output
    denoiser_width: Count = 1024
    denoiser_layers: Count = 10
    time_width: Count = 64
    diffusion_steps: Count = 10
    vae_steps: Count = 83_000  # of train.steps, 1000 epochs of 2634 rows of train.csv at batch 32; then the denoiser
    vae_rate: Positive = 1e-3
    denoiser_rate: Positive = 1e-4
    weight_decay: Weight = 5e-4  # of both
    kl: Weight = 1e-5
    draws: Count = 10  # noises of which the best counts
    latent: Weight = 10.0  # of the denoiser's loss in latents
    decoded: Weight = 10.0  # and in frames
    statistics_batches: Count = 32  # training batches that the latents' range is measured on
    released: bool = False  # the original's defects, which its checkpoints need: methods/belfusion says which
