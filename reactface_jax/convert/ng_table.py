"""The names of Ng et al.'s released checkpoints: the VQ-VAE's and the predictor's."""

from reactface_jax.convert.tensor_layouts import CONV_1D, DENSE, SAME, Entry, Layout, linear, norm

_TRANSPOSED_1D = Layout(  # [in, out, k] -> [k, in, out], backwards in time
    lambda x: [x.transpose(2, 0, 1)[::-1]], lambda xs: xs[0][::-1].transpose(1, 2, 0)
)
_NUM_CONVOLUTIONS = 3
VQVAE, PREDICTOR = "params/vqvae", "params/predictor"
"""Where the parameters go; running statistics go to the same places under "batch_stats"."""

KNOWN_UNUSED = {
    r"(.+\.)?num_batches_tracked": "counter of a norm, no parameter",
    r"listener_past_transformer\..+": "defined by the authors' code but never called",
}


def vqvae_table(num_layers: int) -> list[Entry]:
    """Entries of the VQ-VAE with so many blocks on each side."""
    entries = [
        *linear("encoder.encoder_linear_embedding.net", f"{VQVAE}/encoder_linear"),
        *linear("decoder.decoder_linear_embedding.net", f"{VQVAE}/decoder_linear"),
        Entry("encoder.encoder_pos_embedding.pos_embedding", (f"{VQVAE}/encoder_positions",), SAME),
        Entry("decoder.decoder_pos_embedding.pos_embedding", (f"{VQVAE}/decoder_positions",), SAME),
        Entry("quantize.embedding.weight", (f"{VQVAE}/codebook",), SAME),
        Entry("decoder.cross_smooth_layer.weight", (f"{VQVAE}/smooth/kernel",), CONV_1D),
        Entry("decoder.cross_smooth_layer.bias", (f"{VQVAE}/smooth/bias",), SAME),
    ]
    for i in range(_NUM_CONVOLUTIONS):
        entries += _convolution(f"encoder.squasher.{i}", f"{VQVAE}/squash_{i}", CONV_1D)
        layout = CONV_1D if i else _TRANSPOSED_1D
        entries += _convolution(f"decoder.expander.{i}", f"{VQVAE}/expand_{i}", layout)
    for i in range(num_layers):
        for side in ("encoder", "decoder"):
            entries += _block(f"{side}.{side}_transformer.net", i, f"{VQVAE}/{side}_{i}")
    return entries


def predictor_table(speaker_layers: int, num_layers: int) -> list[Entry]:
    """Entries of the predictor with so many blocks of the speaker and of both together."""
    joint = "cross_modal_layer"
    entries = [
        Entry("listener_past_tok_embedding.weight", (f"{PREDICTOR}/code_embedding",), SAME),
        Entry("listener_past_pos_embedding.pos_embedding", (f"{PREDICTOR}/code_positions",), SAME),
        *linear("audio_projector", f"{PREDICTOR}/sound_linear"),
        Entry("audio_full_pos_embedding.pos_embedding", (f"{PREDICTOR}/sound_positions",), SAME),
        *linear("motion_projector", f"{PREDICTOR}/motion_linear"),
        Entry("motion_full_pos_embedding.pos_embedding", (f"{PREDICTOR}/motion_positions",), SAME),
        *linear("post_projector", f"{PREDICTOR}/speaker_linear"),
        *norm(f"{joint}.cross_norm_layer", f"{PREDICTOR}/norm"),
        Entry(f"{joint}.cross_output_layer.weight", (f"{PREDICTOR}/logits/kernel",), DENSE),
        Entry(f"{joint}.cross_pos_embedding.pos_embedding", (f"{PREDICTOR}/joint_positions",), SAME),
    ]
    for i in range(_NUM_CONVOLUTIONS):
        entries += _convolution(f"post_compressor.{i}", f"{PREDICTOR}/compress_{i}", CONV_1D)
    for i in range(speaker_layers):
        entries += _block("cm_transformer.net", i, f"{PREDICTOR}/fuse_{i}", {"to_q": "query", "to_kv": "key_value"})
    for i in range(num_layers):
        entries += _block(f"{joint}.transformer_layer.net", i, f"{PREDICTOR}/joint_{i}")
    return entries


def _convolution(source: str, target: str, layout: Layout) -> list[Entry]:
    statistics = target.replace("params", "batch_stats", 1)
    return [
        Entry(f"{source}.0.weight", (f"{target}/kernel",), layout),
        Entry(f"{source}.0.bias", (f"{target}/bias",), SAME),
        *norm(f"{source}.2", f"{target}/norm"),
        Entry(f"{source}.2.running_mean", (f"{statistics}/norm/mean",), SAME),
        Entry(f"{source}.2.running_var", (f"{statistics}/norm/variance",), SAME),
    ]


def _block(source: str, index: int, target: str, projections: dict[str, str] | None = None) -> list[Entry]:
    """The release counts attention and MLP as two layers."""
    attention, feed_forward = f"{source}.{2 * index}.fn", f"{source}.{2 * index + 1}.fn"
    return [
        *norm(f"{attention}.norm", f"{target}/attention_norm"),
        *(
            Entry(f"{attention}.fn.{theirs}.weight", (f"{target}/attention/{ours}/kernel",), DENSE)
            for theirs, ours in (projections or {"to_qkv": "query_key_value"}).items()
        ),
        *linear(f"{attention}.fn.to_out", f"{target}/attention/out"),
        *norm(f"{feed_forward}.norm", f"{target}/feed_forward_norm"),
        *linear(f"{feed_forward}.fn.l1", f"{target}/linear1"),
        *linear(f"{feed_forward}.fn.l2", f"{target}/linear2"),
    ]
