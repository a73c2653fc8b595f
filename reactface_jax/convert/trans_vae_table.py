"""The names of Trans-VAE's released checkpoints, offline and online."""

from reactface_jax.convert.tensor_layouts import CONV_3D, DENSE, SAME, Entry, decoder_layer, encoder_layer, linear

_SPEAKER = "speaker_behaviour_encoder"
_DECODER = "reaction_decoder"
_NUM_CONVOLUTIONS = 5

KNOWN_UNUSED = {r"(.+\.)?pe": "table of positional encodings, computed here"}
UNUSED_OFFLINE = {r"fusion\.(weight|bias)": "used online only"}


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
