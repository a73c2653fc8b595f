"""transformers' names of wav2vec 2.0, and its sizes from the shapes and from config.json."""

from collections.abc import Mapping
from typing import Any

from reactface_jax.config import AudioConfig, ModelConfig
from reactface_jax.convert.mapping import StateDict, shape_of
from reactface_jax.convert.tensor_layouts import CONV_1D, SAME, TAP_GAIN, Entry, linear, norm
from reactface_jax.errors import UserError
from reactface_jax.models.wav2vec2 import CONV_KERNELS, CONV_STRIDES, NORM_EPSILON


def table(num_layers: int) -> list[Entry]:
    """Entries of `Wav2Vec2Model` with that many transformer layers."""
    position = "encoder.pos_conv_embed.conv"
    return [
        *(
            Entry(f"feature_extractor.conv_layers.{i}.conv.weight", (f"feature_extractor/conv_{i}/kernel",), CONV_1D)
            for i in range(len(CONV_KERNELS))
        ),
        *norm("feature_extractor.conv_layers.0.layer_norm", "feature_extractor/norm"),
        *norm("feature_projection.layer_norm", "feature_projection/norm"),
        *linear("feature_projection.projection", "feature_projection/linear"),
        Entry("masked_spec_embed", ("masked_spec_embed",), SAME, optional=True),
        Entry(f"{position}.weight_g", ("positional_convolution/weight_g",), TAP_GAIN),
        Entry(f"{position}.weight_v", ("positional_convolution/weight_v",), CONV_1D),
        Entry(f"{position}.bias", ("positional_convolution/bias",), SAME),
        *norm("encoder.layer_norm", "norm"),
        *(entry for i in range(num_layers) for entry in _layer(f"encoder.layers.{i}", f"layer_{i}")),
    ]


def _layer(source: str, target: str) -> list[Entry]:
    return [
        *linear(f"{source}.attention.q_proj", f"{target}/self_attention/query"),
        *linear(f"{source}.attention.k_proj", f"{target}/self_attention/key"),
        *linear(f"{source}.attention.v_proj", f"{target}/self_attention/value"),
        *linear(f"{source}.attention.out_proj", f"{target}/self_attention/out"),
        *norm(f"{source}.layer_norm", f"{target}/norm1"),
        *linear(f"{source}.feed_forward.intermediate_dense", f"{target}/linear1"),
        *linear(f"{source}.feed_forward.output_dense", f"{target}/linear2"),
        *norm(f"{source}.final_layer_norm", f"{target}/norm2"),
    ]


def infer_sizes(state_dict: StateDict, prefix: str = "") -> dict[str, int]:
    """Fields of `AudioConfig` that follow from shapes; the number of heads does not."""

    def shape(name: str, num_axes: int) -> tuple[int, ...]:
        return shape_of(state_dict, prefix + name, num_axes)

    hidden_size, conv_dim = shape("feature_projection.projection.weight", 2)
    intermediate_size, _ = shape("encoder.layers.0.feed_forward.intermediate_dense.weight", 2)
    _, group_size, kernel_size = shape("encoder.pos_conv_embed.conv.weight_v", 3)
    return {
        "hidden_size": hidden_size,
        "num_layers": count_layers(state_dict, prefix + "encoder.layers."),
        "intermediate_size": intermediate_size,
        "conv_dim": conv_dim,
        "num_conv_pos_embeddings": kernel_size,
        "num_conv_pos_groups": hidden_size // max(group_size, 1),
    }


def check_sizes(sizes: Mapping[str, int], config: AudioConfig | ModelConfig, prefix: str) -> None:
    """Compares sizes with a dataclass's fields. Raises `UserError` for one that differs, with both values."""
    for name, found in sizes.items():
        configured = getattr(config, name)
        if configured != found:
            raise UserError(f"{prefix}.{name} is {configured} in the configuration, but the state dict has {found}")


def count_layers(names: StateDict, prefix: str) -> int:
    """How many different numbers follow the prefix."""
    return len({name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)})


# Fields of transformers' Wav2Vec2Config, as the encoder has them; they are also that class's defaults.
_ARCHITECTURE = {
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "conv_bias": False,
    "do_stable_layer_norm": False,
    "add_adapter": False,
    "adapter_attn_dim": None,
    "layer_norm_eps": NORM_EPSILON,
    "conv_kernel": list(CONV_KERNELS),
    "conv_stride": list(CONV_STRIDES),
}

# Fields of AudioConfig by transformers' names.
_FIELDS = {
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "num_conv_pos_embeddings": "num_conv_pos_embeddings",
    "num_conv_pos_groups": "num_conv_pos_embedding_groups",
    "hidden_dropout": "hidden_dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "feature_dropout": "feat_proj_dropout",
    "layer_dropout": "layerdrop",
    "mask_time_prob": "mask_time_prob",
    "mask_time_length": "mask_time_length",
}


def audio_config(description: Mapping[str, Any]) -> AudioConfig:
    """The configuration that a config.json of transformers describes.

    Raises:
      UserError: the architecture is not that of wav2vec2-base-960h.
    """
    if description.get("model_type") != "wav2vec2":
        raise UserError(f"model_type is {description.get('model_type')!r}, but 'wav2vec2' is needed")
    for name, expected in _ARCHITECTURE.items():
        if description.get(name, expected) != expected:
            raise UserError(
                f"{name} is {description[name]!r}, but this encoder has {expected!r}, as wav2vec2-base-960h does"
            )
    fields = {ours: description[theirs] for ours, theirs in _FIELDS.items() if theirs in description}
    conv_dims = description.get("conv_dim", [AudioConfig.conv_dim] * len(CONV_KERNELS))
    if len(conv_dims) != len(CONV_KERNELS) or len(set(conv_dims)) != 1:
        raise UserError(f"conv_dim is {conv_dims}, but this encoder has {len(CONV_KERNELS)} equal widths")
    if not description.get("apply_spec_augment", True):
        fields["mask_time_prob"] = 0.0
    return AudioConfig(**fields, conv_dim=conv_dims[0])
