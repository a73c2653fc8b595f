"""The portrait renderer: every block against PyTorch's layers, the whole against the authors' code, and conversion."""

import functools
import json
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from goldens.fill import fill
from oracle.weights import randomise
from torch import nn
from torch.nn import functional as F

import reactface_jax as rf
from reactface_jax import convert
from reactface_jax.convert import __main__ as command
from reactface_jax.convert import pirender_table
from reactface_jax.errors import UserError
from reactface_jax.ops.pixels import to_bytes
from reactface_jax.rendering.portrait.blocks import (
    AdaIN,
    MapNorm,
    PairConvNorm,
    TransposedConv,
    UpConvNorm,
    convolution,
    deformation,
    filtered_rows,
    sample,
)
from reactface_jax.rendering.portrait.model import DownBlock, MappingNetwork, PIRender, ResidualBlock, UpBlock
from reactface_jax.rendering.portrait.portrait import PortraitRenderer, coefficient_windows
from reactface_jax.weights.params_file import load_params

assert_close = functools.partial(chex.assert_trees_all_close, rtol=0, atol=2e-5)
Z = 8


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x.transpose(0, 3, 1, 2))


def nhwc(x: torch.Tensor) -> np.ndarray:
    return array(x).transpose(0, 2, 3, 1)


def apply(module: Any, params: Any, *inputs: np.ndarray) -> Any:
    return jax.jit(module.apply)({"params": params}, *inputs)


# PyTorch's side, put together from the specification --------------------------------------------------------------


class TorchAdaIN(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.shared, self.gamma, self.beta = nn.Linear(Z, 128), nn.Linear(128, channels), nn.Linear(128, channels)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.shared(z))
        normed = F.instance_norm(x, eps=1e-5)
        return normed * (1 + self.gamma(h)[..., None, None]) + self.beta(h)[..., None, None]

    def params(self) -> dict:
        return {
            name: {"kernel": array(layer.weight.T), "bias": array(layer.bias)} for name, layer in self.named_children()
        }


def conv_params(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Conv1d) -> dict:
    weight = array(layer.weight)
    if isinstance(layer, nn.Conv1d):
        return {"kernel": weight.transpose(2, 1, 0), "bias": array(layer.bias)}
    order = (2, 3, 0, 1) if isinstance(layer, nn.ConvTranspose2d) else (2, 3, 1, 0)
    return {"kernel": weight.transpose(order), "bias": array(layer.bias)}


def act(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.1)


def randomised(module: Any) -> Any:
    randomise(module)
    return module


def test_adain() -> None:
    theirs = randomised(TorchAdaIN(5))
    x, z = 3 + normal(2, 6, 7, 5), normal(2, Z, seed=1)
    assert_close(apply(AdaIN(), theirs.params(), x, z), nhwc(theirs(nchw(x), torch.tensor(z))))
    one = apply(AdaIN(), theirs.params(), x[:1], z)  # one map for two descriptors
    assert_close(one, nhwc(theirs(nchw(x[:1].repeat(2, 0)), torch.tensor(z))))


def test_layer_norm_over_the_whole_map() -> None:
    x, scale, bias = 3 + normal(2, 6, 7, 5), normal(5, seed=1), normal(5, seed=2)
    theirs = F.layer_norm(nchw(x), (5, 6, 7)) * torch.tensor(scale)[:, None, None] + torch.tensor(bias)[:, None, None]
    assert_close(apply(MapNorm(), {"scale": scale, "bias": bias}, x), nhwc(theirs))


def test_transposed_convolution() -> None:
    theirs = randomised(nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1))
    x = normal(2, 5, 6, 4)
    assert_close(apply(TransposedConv(3), conv_params(theirs), x), nhwc(theirs(nchw(x))))


@pytest.mark.parametrize("height", [8, 5])
def test_rows_filtered_together(height: int) -> None:
    x, kernel = normal(2, height, 6, 128), normal(3, 3, 128, 128, seed=1) / 34
    torch_x, torch_kernel = nchw(x).requires_grad_(), torch.tensor(kernel.transpose(3, 2, 0, 1)).requires_grad_()
    theirs = F.conv2d(torch_x, torch_kernel, padding=1)
    theirs.square().sum().backward()
    assert_close(jax.jit(filtered_rows)(x, kernel), nhwc(theirs))
    layer = convolution(128, 3, jnp.float32, None)

    def loss(x: Any, kernel: Any) -> Any:
        return jnp.square(layer.apply({"params": {"kernel": kernel, "bias": np.zeros(128, np.float32)}}, x)).sum()

    of_x, of_kernel = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
    assert_close(of_x, nhwc(torch_x.grad), atol=1e-4)
    assert_close(of_kernel, array(torch_kernel.grad).transpose(2, 3, 1, 0), atol=1e-3)


def test_enlargement_and_convolution_in_one() -> None:
    theirs, norm = randomised(nn.Conv2d(4, 3, 3, padding=1)), {"scale": normal(3), "bias": normal(3, seed=1)}
    x = normal(2, 5, 6, 4)
    y = theirs(F.interpolate(nchw(x), scale_factor=2))
    scale, bias = (torch.tensor(value)[:, None, None] for value in norm.values())
    y = act(F.layer_norm(y, y.shape[1:]) * scale + bias)
    assert_close(apply(UpConvNorm(3), conv_params(theirs) | {"norm": norm}, x), nhwc(y))


def test_convolution_of_portrait_and_warp() -> None:
    theirs, norm = randomised(nn.Conv2d(6, 4, 7, padding=3)), {"scale": normal(4), "bias": normal(4, seed=1)}
    portrait, warp = normal(1, 8, 8, 3), normal(2, 8, 8, 3, seed=1)
    y = theirs(torch.cat([nchw(portrait.repeat(2, 0)), nchw(warp)], 1))
    scale, bias = (torch.tensor(value)[:, None, None] for value in norm.values())
    y = act(F.layer_norm(y, y.shape[1:]) * scale + bias)
    assert_close(apply(PairConvNorm(4), conv_params(theirs) | {"norm": norm}, portrait, warp), nhwc(y))


def test_sampling() -> None:
    image, places = normal(2, 6, 8, 3), 0.8 * normal(2, 5, 4, 2, seed=1)
    places[0, 0, 0] = 1, -1
    assert (np.abs(places) > 1.3).any()  # well outside, where there are zeros
    theirs = F.grid_sample(nchw(image), torch.tensor(places), align_corners=False)
    assert_close(jax.jit(sample)(image, places), nhwc(theirs))
    theirs = F.grid_sample(nchw(image[:1].repeat(2, 0)), torch.tensor(places), align_corners=False)
    assert_close(jax.jit(sample)(image[:1], places), nhwc(theirs))


def test_deformation() -> None:
    flow = normal(2, 4, 6, 2)
    x, y = np.meshgrid(2 * np.arange(6) / 5 - 1, 2 * np.arange(4) / 3 - 1)
    moved = np.stack([x, y], -1).astype(np.float32) + 2 * flow / np.array([5, 3], np.float32)
    theirs = F.interpolate(nchw(moved), (16, 24), mode="bilinear", align_corners=False)
    assert_close(jax.jit(deformation, static_argnums=1)(flow, (16, 24)), nhwc(theirs))


@pytest.mark.parametrize("project", [True, False])
def test_mapping_network(project: bool) -> None:
    channels = 58 if project else 73
    layers = {"first": nn.Conv1d(73, 256, 7)} | {f"encoder{i}": nn.Conv1d(256, 256, 3, dilation=3) for i in range(3)}
    if project:
        layers["pre"] = nn.Conv1d(58, 73, 1)
    for layer in layers.values():
        randomise(layer)
    windows = normal(2, 27, channels)
    x = torch.tensor(windows.swapaxes(1, 2))
    x = layers["first"](layers["pre"](x) if project else x)
    for i in range(3):
        x = layers[f"encoder{i}"](act(x)) + x[:, :, 3:-3]
    assert x.shape == (2, 256, 3)
    params = {name: conv_params(layer) for name, layer in layers.items()}
    assert_close(apply(MappingNetwork(project), params, windows), array(x.mean(2)))


def test_down_block() -> None:
    norms = [randomised(TorchAdaIN(4)), randomised(TorchAdaIN(6))]
    convs = [randomised(nn.Conv2d(4, 6, 4, stride=2, padding=1)), randomised(nn.Conv2d(6, 6, 3, padding=1))]
    x, z = normal(2, 8, 8, 4), normal(2, Z, seed=1)
    y = nchw(x)
    for norm, conv in zip(norms, convs, strict=True):
        y = conv(act(norm(y, torch.tensor(z))))
    params = {f"norm_{i}": norm.params() for i, norm in enumerate(norms)}
    params |= {f"conv_{i}": conv_params(conv) for i, conv in enumerate(convs)}
    assert_close(apply(DownBlock(6), params, x, z), nhwc(y))


def test_up_block() -> None:
    def transposed(channels: int) -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(channels, 3, 3, stride=2, padding=1, output_padding=1)

    norms = {"0": TorchAdaIN(4), "1": TorchAdaIN(3), "s": TorchAdaIN(4)}
    convs = {"0": nn.Conv2d(4, 3, 3, padding=1), "1": transposed(3), "s": transposed(4)}
    for module in (*norms.values(), *convs.values()):
        randomise(module)
    x, z = normal(2, 4, 4, 4), normal(2, Z, seed=1)

    def step(name: str, y: torch.Tensor) -> torch.Tensor:
        return convs[name](act(norms[name](y, torch.tensor(z))))

    params = {f"norm_{i}": norm.params() for i, norm in norms.items()}
    params |= {f"conv_{i}": conv_params(conv) for i, conv in convs.items()}
    theirs = step("s", nchw(x)) + step("1", step("0", nchw(x)))
    assert_close(apply(UpBlock(3), params, x, z), nhwc(theirs))


def test_residual_block() -> None:
    norm, conv = randomised(TorchAdaIN(4)), randomised(nn.Conv2d(4, 4, 3, padding=1))
    x, z = normal(2, 4, 4, 4), normal(2, Z, seed=1)
    theirs = nchw(x) + norm(conv(nchw(x)), torch.tensor(z))
    assert_close(apply(ResidualBlock(), {"norm": norm.params(), "conv": conv_params(conv)}, x, z), nhwc(theirs))


# The whole ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="golden")
def _golden(goldens: Path) -> dict[str, np.ndarray]:
    with np.load(goldens / "pirender_a.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module", name="golden_state")
def _golden_state(goldens: Path) -> dict[str, np.ndarray]:
    shapes = json.loads((goldens / "pirender_spec.json").read_text())
    return {name: fill(name, tuple(shape), 0) for name, shape in shapes.items()}


def test_the_authors_outputs(golden: dict[str, np.ndarray], golden_state: dict[str, np.ndarray]) -> None:
    params = convert.pirender(golden_state)
    portrait, windows = golden["portrait"].transpose(0, 2, 3, 1), golden["coefficient_windows"]
    out = jax.jit(PIRender().apply)({"params": params}, portrait, windows.swapaxes(1, 2))
    theirs = {
        "descriptor": golden["descriptor"][..., 0],
        "flow": golden["flow_field"].transpose(0, 2, 3, 1),
        "warp": golden["warp_image"].transpose(0, 2, 3, 1),
        "image": golden["fake_image"].transpose(0, 2, 3, 1),
    }
    chex.assert_trees_all_close(out._asdict(), theirs, rtol=0, atol=1e-4)

    pictures = rf.rendering.pirender(params, portrait[0], windows=windows)
    chex.assert_trees_all_close(pictures, theirs["image"], rtol=0, atol=1e-4)
    # The same windows as they come from coefficients: the middle of a sequence, and its ends repeated.
    sequence = windows[0].T
    around = coefficient_windows(sequence)
    np.testing.assert_array_equal(around[13].T, windows[0])
    assert (around[0, :13] == sequence[0]).all()
    assert (around[26, 14:] == sequence[26]).all()
    renderer = PortraitRenderer(params, portrait[0], batch_size=2)
    frames = list(renderer.frames(sequence[:3]))  # a batch and a half
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 3
    (drawn,) = renderer.draw(coefficient_windows(sequence[:3])[2:])
    np.testing.assert_array_equal(frames[2], np.asarray(to_bytes(drawn))[0])


# Conversion ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="state")
def _state() -> dict[str, np.ndarray]:
    """Random values under the retrained form's names, as the table knows them."""
    template = convert._pirender_template(True, 58)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), template)
    return convert.to_pirender(params)


def original(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in state.items() if not name.startswith("mapping_net.pre")}


def test_conversion_there_and_back(state: dict[str, np.ndarray]) -> None:
    again = convert.to_pirender(convert.pirender({f"module.{name}": value for name, value in state.items()}))
    chex.assert_trees_all_equal(again, state)
    params = convert.pirender(original(state))
    assert "pre" not in params["mapping"]
    with pytest.raises(UserError, match="trained on 73 coefficients, not on 58"):
        rf.rendering.pirender(params, jnp.zeros((64, 64, 3)), jnp.zeros((2, 58)))


def test_every_key_of_the_authors_is_known(golden_state: dict[str, np.ndarray]) -> None:
    _, report = convert.pirender_with_report(golden_state)
    assert {entry.source for entry in pirender_table.table(True)} <= golden_state.keys()
    assert [len(keys) for keys in report.ignored.values()] == [6 * 8]


def convert_file(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["convert", "pirender", *map(str, words)])
    command.main()


@pytest.mark.parametrize("form", ["retrained", "original"])
def test_command(
    form: str,
    state: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    if form == "retrained":
        content = {"epoch": 3, "state_dict": tensors}
    else:
        other = {name: 2 * value for name, value in original(tensors).items()}
        content = {"net_G": other, "net_G_ema": original(tensors), "current_iteration": 5}
    torch.save(content, tmp_path / "model.pth")
    convert_file(monkeypatch, tmp_path / "model.pth", "--out", tmp_path / "out")
    channels = 58 if form == "retrained" else 73
    assert f"{channels} coefficients" in capsys.readouterr().out
    params, config = load_params(tmp_path / "out")
    size = 224 if form == "retrained" else 256
    assert config == {"pirender": {"coefficients": channels, "image_size": size}}
    chex.assert_trees_all_equal(params, convert.pirender(state if form == "retrained" else original(state)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"editing_net.decoder.final.model.0.bias": None}, r"lacks 1 .*final\.model\.0\.bias"),
        ({"editing_net.extra": np.zeros(2, np.float32)}, r"has 1 keys .*editing_net\.extra"),
        ({"warpping_net.flow_out.2.weight": np.zeros((2, 128, 7, 7), np.float32)}, "does not fit"),
        ({"mapping_net.pre.weight": np.zeros(3, np.float32)}, "another model's state dict"),
    ],
)
def test_wrong_state_dicts(state: dict[str, np.ndarray], changes: dict[str, Any], message: str) -> None:
    changed = {name: value for name, value in (state | changes).items() if value is not None}
    with pytest.raises(UserError, match=message):
        convert.pirender(changed)


def test_wrong_inputs(state: dict[str, np.ndarray]) -> None:
    params, portrait = convert.pirender(state), jnp.zeros((64, 64, 3))
    with pytest.raises(UserError, match="either coefficients or windows"):
        rf.rendering.pirender(params, portrait)
    with pytest.raises(UserError, match="multiples of 32"):
        rf.rendering.pirender(params, portrait[:50], jnp.zeros((2, 58)))
    for none in ({"coefficients": jnp.zeros((0, 58))}, {"windows": jnp.zeros((0, 58, 27))}):
        with pytest.raises(UserError, match="no frame"):
            rf.rendering.pirender(params, portrait, **none)
    with pytest.raises(UserError, match="windows= has 26 frames around each, but the renderer sees 27"):
        rf.rendering.pirender(params, portrait, windows=jnp.zeros((2, 58, 26)))
