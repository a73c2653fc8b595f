"""The names of BeLFusion's released checkpoints: the VAE's and the denoiser's."""

from reactface_jax.convert.tensor_layouts import DENSE, SAME, Entry, linear, norm

KNOWN_UNUSED = {r"layers\.\d+\.cond_layers\.1\.(weight|bias)": "the layer's linear_emb under a second name"}
VAE, DENOISER = "vae", "denoiser"
"""Where the parameters go."""


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
