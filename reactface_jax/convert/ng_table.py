"""The names of Ng et al.'s released checkpoints: the VQ-VAE's and the predictor's."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from reactface_jax.config.ng import NgConfig
from reactface_jax.convert import known_unused
from reactface_jax.convert.converted_method import ConvertedMethod, merged, template
from reactface_jax.convert.mapping import Params, StateDict, as_numpy, normalise_names, shape_of, split_statistics
from reactface_jax.convert.tensor_layouts import CONV_1D, DENSE, SAME, Entry, Layout, linear, norm
from reactface_jax.convert.wav2vec2_table import count_layers
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.ng.ng import Ng

_TRANSPOSED_1D = Layout(  # [in, out, k] -> [k, in, out], backwards in time
    lambda x: [x.transpose(2, 0, 1)[::-1]], lambda xs: xs[0][::-1].transpose(1, 2, 0)
)
_NUM_CONVOLUTIONS = 3
VQVAE, PREDICTOR = "params/vqvae", "params/predictor"
"""Where the parameters go; running statistics go to the same places under "batch_stats"."""


_OF_VQVAE = ("encoder.", "decoder.", "quantize.")
_STATISTICS = {
    "face": ("body_mean_X", "body_std_X"),
    "sound": ("body_mean_audio", "body_std_audio"),
}
"""Means and deviations in the release's `*_preprocess_core.npz`."""


def convert(state_dict: StateDict) -> ConvertedMethod:
    """The row from the keys of its VQ-VAE and of its predictor together, and `statistics.body_mean_X` … if given.

    Sizes come from the shapes, but for the numbers of heads, which are the release's. Without statistics the row takes
    standardised input and gives standardised output. The release's defects are on: its weights were trained with them.

    Raises:
      UserError: it is another model's, keys are missing or unknown, a shape does not fit, values are not finite, or a
        deviation is not above 0.
    """
    names = normalise_names(state_dict)
    used = [f"statistics.{name}" for pair in _STATISTICS.values() for name in pair]
    names, statistics, unused = split_statistics(names, used, known_unused.NG_STATISTICS)
    method = Ng(_infer_config(names))
    config, shapes = method.config, template(method)
    in_vqvae = {name: value for name, value in names.items() if name.startswith(_OF_VQVAE)}
    in_predictor = {name: value for name, value in names.items() if name not in in_vqvae}
    trees: list[Params] = [
        {"params": {part: shapes.params[part]}, "batch_stats": {part: shapes.state["batch_stats"][part]}}
        for part in ("vqvae", "predictor")
    ]
    tables = vqvae_table(config.num_layers), predictor_table(config.speaker_layers, config.predictor_layers)
    tree, report = merged(
        [
            (part, table, tree, known_unused.NG)
            for part, table, tree in zip((in_vqvae, in_predictor), tables, trees, strict=True)
        ]
    )
    face_and_sound = _moments(statistics, shapes.state["moments"], given=bool(statistics or unused))
    state = {"batch_stats": tree["batch_stats"], "moments": face_and_sound}
    report = dataclasses.replace(report, ignored={**report.ignored, **unused})
    return ConvertedMethod(method, Variables(tree["params"], state), report, config)


def _infer_config(names: StateDict) -> NgConfig:
    num_codes, width = shape_of(names, "quantize.embedding.weight", 2)
    codes, token_width = shape_of(names, "listener_past_tok_embedding.weight", 2)
    if codes != num_codes:
        raise UserError(f"the VQ-VAE has {num_codes} codes, but the predictor {codes}; give two files of one training")
    channels = shape_of(names, "encoder.squasher.0.0.weight", 3)[1]
    seen = shape_of(names, "motion_projector.weight", 2)[1]
    if seen != channels:
        raise UserError(
            f"the VQ-VAE has {channels} coefficients a frame, but the predictor {seen}; give two files of one training"
        )
    joint = "cross_modal_layer.transformer_layer.net."
    return NgConfig(
        channels=channels,
        width=width,
        num_layers=count_layers(names, "encoder.encoder_transformer.net.") // 2,
        feed_forward=shape_of(names, "encoder.encoder_transformer.net.1.fn.fn.l1.weight", 2)[0],
        num_codes=num_codes,
        token_width=token_width,
        speaker_width=shape_of(names, "audio_projector.weight", 2)[0],
        predictor_feed_forward=shape_of(names, f"{joint}1.fn.fn.l1.weight", 2)[0],
        speaker_layers=count_layers(names, "cm_transformer.net.") // 2,
        predictor_layers=count_layers(names, joint) // 2,
        released=True,
    )


def _moments(statistics: StateDict, shapes: Params, *, given: bool) -> Params:
    """Those of the release, or ones that change nothing."""
    found: dict[str, Any] = {}
    for name, (mean, std) in _STATISTICS.items():
        size = shapes[name]["mean"].shape[0]
        pair = {"mean": np.zeros(size, np.float32), "std": np.ones(size, np.float32)}
        for kind, source in zip(pair, (f"statistics.{mean}", f"statistics.{std}"), strict=True):
            if given:
                if source not in statistics:
                    raise UserError(f"the statistics lack {source.removeprefix('statistics.')}")
                values = as_numpy(source, statistics[source])
                if values.size != size:
                    raise UserError(f"{source} has {values.size} numbers, but a frame has {size}")
                if kind == "std" and values.min() <= 0:
                    raise UserError(f"{source} has numbers that are not above 0, which nothing can be divided by")
                pair[kind] = values.reshape(size)
        found[name] = {kind: jnp.asarray(values) for kind, values in pair.items()}
    return found


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
