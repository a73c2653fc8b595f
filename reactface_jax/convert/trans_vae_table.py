"""The names of Trans-VAE's released checkpoints, offline and online."""

from reactface_jax.config.trans_vae import TransVaeConfig
from reactface_jax.convert import known_unused
from reactface_jax.convert.converted_method import ConvertedMethod, template
from reactface_jax.convert.mapping import StateDict, normalise_names, shape_of, to_params
from reactface_jax.convert.tensor_layouts import CONV_3D, DENSE, SAME, Entry, decoder_layer, encoder_layer, linear
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.trans_vae.trans_vae import TransVae

_SPEAKER = "speaker_behaviour_encoder"
_DECODER = "reaction_decoder"
_NUM_CONVOLUTIONS = 5


def convert(state_dict: StateDict) -> ConvertedMethod:
    """The row; whether it is the online form, and whether it predicts attributes, follows from the keys.

    The release's defect is on, so that a clip's last frames are those of the original.

    Raises:
      UserError: it is another model's, keys are missing or unknown, a shape does not fit, or values are not finite.
    """
    names = normalise_names(state_dict)
    width = shape_of(names, f"{_DECODER}.listener_reaction_3dmm_map_layer.weight", 2)[1]
    online = any(name.startswith(f"{_DECODER}.lstm.") for name in names)
    attributes = any(name.startswith(f"{_DECODER}.listener_reaction_emotion_map_layer.") for name in names)
    method = TransVae(TransVaeConfig(attributes=attributes, online=online, feature_dim=width, released=True))
    unused = known_unused.TRANS_VAE if online else known_unused.TRANS_VAE_OFFLINE
    params, report = to_params(names, table(online, attributes), dict(template(method).params), unused)
    return ConvertedMethod(method, Variables(params, {}), report, method.config)


def table(online: bool, attributes: bool) -> list[Entry]:
    """Entries of the whole model; `attributes`: the challenge's 25, too."""
    vae, head = f"{_DECODER}.vae_model", f"{_DECODER}.listener_reaction_emotion_map_layer"
    entries = [
        *linear(f"{_SPEAKER}.video_encoder.fc", "speaker/fc"),
        *linear(f"{_SPEAKER}.audio_feature_map", "speaker/audio_feature_map"),
        *linear(f"{_SPEAKER}.fusion_layer", "speaker/fusion_layer"),
        Entry(f"{vae}.mu_token", ("mean_token",), SAME),
        Entry(f"{vae}.logvar_token", ("log_variance_token",), SAME),
        *linear(f"{vae}.linear", "linear"),
        *encoder_layer(f"{vae}.seqTransEncoder.layers.0", "encoder"),
        *decoder_layer(f"{_DECODER}.listener_reaction_decoder_1.layers.0", "decoder_1"),
        *decoder_layer(f"{_DECODER}.listener_reaction_decoder_2.layers.0", "decoder_2"),
        *linear(f"{_DECODER}.listener_reaction_3dmm_map_layer", "coefficient_map"),
    ]
    for i in range(1, _NUM_CONVOLUTIONS + 1):
        source = f"{_SPEAKER}.video_encoder.Conv3D.conv{i}.weight"
        entries.append(Entry(source, (f"speaker/conv{i}/kernel",), CONV_3D))
    if attributes:
        entries += [*linear(f"{head}.0", "attribute_maps_0"), *linear(f"{head}.1", "attribute_maps_1")]
    if online:
        entries += [
            *linear("fusion", "fusion"),
            *linear(f"{_DECODER}.linear_3d", "past_map"),
            *linear(f"{_DECODER}.linear_reaction", "reaction_map"),
            *decoder_layer(f"{_DECODER}.listener_reaction_decoder_3d.layers.0", "decoder_past"),
            Entry(f"{_DECODER}.lstm.weight_ih_l0", ("lstm/input/kernel",), DENSE),
            Entry(f"{_DECODER}.lstm.weight_hh_l0", ("lstm/hidden/kernel",), DENSE),
            Entry(f"{_DECODER}.lstm.bias_ih_l0", ("lstm/input/bias",), SAME),
            Entry(f"{_DECODER}.lstm.bias_hh_l0", ("lstm/hidden/bias",), SAME),
        ]
    return entries
