"""The authors' names of PIRender."""

from reactface_jax.convert.tensor_layouts import CONV_1D, SAME, Entry, Layout, linear
from reactface_jax.rendering.portrait.model import DECODER_CHANNELS, EDITING_CHANNELS, ENCODER_CHANNELS, UP_CHANNELS

_CONV_2D = Layout(  # [out, in, kh, kw] -> [kh, kw, in, out]
    lambda x: [x.transpose(2, 3, 1, 0)], lambda xs: xs[0].transpose(3, 2, 0, 1)
)
_TRANSPOSED_2D = Layout(  # [in, out, kh, kw] -> [kh, kw, in, out]
    lambda x: [x.transpose(2, 3, 0, 1)], lambda xs: xs[0].transpose(2, 3, 0, 1)
)
_PER_CHANNEL = Layout(lambda x: [x.reshape(-1)], lambda xs: xs[0].reshape(-1, 1, 1))  # [C, 1, 1] -> [C]

_HOURGLASS = "warpping_net.hourglass"


def table(project: bool) -> list[Entry]:
    """Entries of the whole renderer; `project`: the retrained form, whose coefficients are mapped to 73 first."""
    entries = _convolution("mapping_net.pre", "mapping/pre", CONV_1D) if project else []
    entries += _convolution("mapping_net.first.0", "mapping/first", CONV_1D)
    for i in range(3):
        entries += _convolution(f"mapping_net.encoder{i}.1", f"mapping/encoder{i}", CONV_1D)

    entries += _convolution(f"{_HOURGLASS}.encoder.input_layer", "warping/input_layer")
    for i in range(len(ENCODER_CHANNELS)):
        entries += _block(f"{_HOURGLASS}.encoder.encoder{i}", f"warping/encoder{i}", {"0": _CONV_2D, "1": _CONV_2D})
    for i in DECODER_CHANNELS:
        layouts = {"0": _CONV_2D, "1": _TRANSPOSED_2D, "s": _TRANSPOSED_2D}
        entries += _block(f"{_HOURGLASS}.decoder.decoder{i}", f"warping/decoder{i}", layouts)
    entries += _norm("warpping_net.flow_out.0", "warping/flow_norm")
    entries += _convolution("warpping_net.flow_out.2", "warping/flow_conv")

    entries += _convolution("editing_net.encoder.first.model.0", "editing/first")
    entries += _norm("editing_net.encoder.first.model.1", "editing/first/norm")
    for i in range(len(EDITING_CHANNELS)):
        entries += _conv_norm(f"editing_net.encoder.down{i}", f"editing/down{i}")
    for i in UP_CHANNELS:
        for j in range(2):
            source, target = f"editing_net.decoder.res{i}.res{j}", f"editing/res{i}_{j}"
            entries += _convolution(f"{source}.conv2", f"{target}/conv")
            entries += _adain(f"{source}.norm2", f"{target}/norm")
        entries += _convolution(f"editing_net.decoder.up{i}.model.0", f"editing/up{i}")
        entries += _norm(f"editing_net.decoder.up{i}.model.1", f"editing/up{i}/norm")
        entries += _conv_norm(f"editing_net.decoder.jump{i}", f"editing/jump{i}")
    entries += _convolution("editing_net.decoder.final.model.0", "editing/final")
    return entries


def _convolution(source: str, target: str, layout: Layout = _CONV_2D) -> list[Entry]:
    return [
        Entry(f"{source}.weight", (f"{target}/kernel",), layout),
        Entry(f"{source}.bias", (f"{target}/bias",), SAME),
    ]


def _norm(source: str, target: str) -> list[Entry]:
    return [
        Entry(f"{source}.weight", (f"{target}/scale",), _PER_CHANNEL),
        Entry(f"{source}.bias", (f"{target}/bias",), _PER_CHANNEL),
    ]


def _conv_norm(source: str, target: str) -> list[Entry]:
    return [
        *_convolution(f"{source}.model.0", f"{target}/conv"),
        *_norm(f"{source}.model.1", f"{target}/norm"),
    ]


def _adain(source: str, target: str) -> list[Entry]:
    return [
        *linear(f"{source}.mlp_shared.0", f"{target}/shared"),
        *linear(f"{source}.mlp_gamma", f"{target}/gamma"),
        *linear(f"{source}.mlp_beta", f"{target}/beta"),
    ]


def _block(source: str, target: str, layouts: dict[str, Layout]) -> list[Entry]:
    entries = []
    for name, layout in layouts.items():
        entries += _convolution(f"{source}.conv_{name}", f"{target}/conv_{name}", layout)
        entries += _adain(f"{source}.norm_{name}", f"{target}/norm_{name}")
    return entries
