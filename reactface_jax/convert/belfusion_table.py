"""The names of BeLFusion's released checkpoints: the VAE's and the denoiser's."""

import dataclasses

import jax.numpy as jnp

from reactface_jax.config.belfusion import BelfusionConfig
from reactface_jax.convert import known_unused
from reactface_jax.convert.converted_method import ConvertedMethod, merged, template
from reactface_jax.convert.mapping import StateDict, as_numpy, normalise_names, shape_of, split_statistics
from reactface_jax.convert.tensor_layouts import DENSE, SAME, Entry, linear, norm
from reactface_jax.convert.wav2vec2_table import count_layers
from reactface_jax.errors import UserError
from reactface_jax.methods.belfusion.belfusion import NUM_ATTRIBUTES, Belfusion
from reactface_jax.methods.learned import Variables
from reactface_jax.types import NUM_COEFFICIENTS

VAE, DENOISER = "vae", "denoiser"
"""Where the parameters go."""


_OF_DENOISER = ("time_embed.", "cond_embed.", "layers.")


def convert(state_dict: StateDict) -> ConvertedMethod:
    """The row from the keys of its VAE and of its denoiser together, and the VAE's `statistics.min` and `.max`.

    The release's defects are on: its weights were trained with them. Sizes come from the shapes; windows are of 50.

    Raises:
      UserError: it is another model's, keys are missing or unknown, a shape does not fit, or values are not finite.
    """
    names = normalise_names(state_dict)
    names, statistics, unused = split_statistics(
        names, ("statistics.min", "statistics.max"), known_unused.BELFUSION_STATISTICS
    )
    method = Belfusion(_infer_config(names))
    shapes, config = template(method), method.config
    of_denoiser = {name: value for name, value in names.items() if name.startswith(_OF_DENOISER)}
    of_vae = {name: value for name, value in names.items() if name not in of_denoiser}
    params, report = merged(
        [
            (of_vae, vae_table(2, config.attributes), {VAE: shapes.params[VAE]}, {}),
            (
                of_denoiser,
                denoiser_table(config.denoiser_layers),
                {DENOISER: shapes.params[DENOISER]},
                known_unused.BELFUSION,
            ),
        ]
    )
    state = {}
    for name in ("min", "max"):
        source = f"statistics.{name}"
        if source not in statistics:
            raise UserError(
                f"the VAE's checkpoint has no statistics, {name} of its latents; give the file that holds them"
            )
        values = as_numpy(source, statistics[source])
        if values.size != config.width:
            raise UserError(f"{source} has {values.size} numbers, but a latent has {config.width}")
        state[f"latent_{name}imum"] = jnp.asarray(values.reshape(config.width))
    report = dataclasses.replace(report, ignored={**report.ignored, **unused})
    return ConvertedMethod(method, Variables(params, state), report, config)


def _infer_config(names: StateDict) -> BelfusionConfig:
    channels = shape_of(names, "d_out.weight", 2)[0]
    if channels not in (NUM_ATTRIBUTES, NUM_COEFFICIENTS):
        raise UserError(
            f"the VAE has {channels} channels; {NUM_ATTRIBUTES} attributes or {NUM_COEFFICIENTS} coefficients are known"
        )
    return BelfusionConfig(
        attributes=channels == NUM_ATTRIBUTES,
        width=shape_of(names, "fc_mu_enc.weight", 2)[0],
        mlp_width=shape_of(names, "d_mlp.affine_layers.0.weight", 2)[0],
        denoiser_width=shape_of(names, "layers.0.linear.weight", 2)[0],
        denoiser_layers=count_layers(names, "layers."),
        time_width=shape_of(names, "time_embed.0.weight", 2)[1],
        released=True,
    )


def vae_table(num_mlp: int, regress: bool) -> list[Entry]:
    """Entries of the VAE with so many layers between GRU and output, with or without coefficients of attributes."""
    entries = [
        *_gru("x_rnn.rnn_f", f"{VAE}/encoder"),
        *linear("fc_mu_enc", f"{VAE}/mean"),
        *linear("fc_logvar_enc", f"{VAE}/log_variance"),
        *linear("fc_z_dec", f"{VAE}/start"),
        *_gru("d_rnn.rnn_f", f"{VAE}/decoder"),
        *linear("d_out", f"{VAE}/out"),
    ]
    for i in range(num_mlp):
        entries += linear(f"d_mlp.affine_layers.{i}", f"{VAE}/hidden_{i}")
    if regress:
        entries += [*linear("coeff_reg.0", f"{VAE}/regress_hidden"), *linear("coeff_reg.2", f"{VAE}/regress_out")]
    return entries


def denoiser_table(num_layers: int) -> list[Entry]:
    """Entries of the denoiser."""
    entries = [
        *linear("time_embed.0", f"{DENOISER}/time_in"),
        *linear("time_embed.2", f"{DENOISER}/time_out"),
        *linear("cond_embed.0", f"{DENOISER}/condition_in"),
        *linear("cond_embed.2", f"{DENOISER}/condition_out"),
    ]
    for i in range(num_layers):
        entries += linear(f"layers.{i}.linear", f"{DENOISER}/linear_{i}")
    for i in range(num_layers - 1):
        entries += linear(f"layers.{i}.linear_emb", f"{DENOISER}/condition_{i}")
        entries += norm(f"layers.{i}.norm", f"{DENOISER}/norm_{i}")
    return entries


def _gru(source: str, target: str) -> list[Entry]:
    return [
        Entry(f"{source}.weight_ih", (f"{target}/input/kernel",), DENSE),
        Entry(f"{source}.weight_hh", (f"{target}/hidden/kernel",), DENSE),
        Entry(f"{source}.bias_ih", (f"{target}/input/bias",), SAME),
        Entry(f"{source}.bias_hh", (f"{target}/hidden/bias",), SAME),
    ]
