"""Each block against the PyTorch layer that it equals, or against its formula spelled out number by number."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracle import reactface_torch
from oracle.weights import randomise
from torch import nn
from torch.nn import functional as F

from reactface_jax.models.attention import DecoderLayer, EncoderLayer
from reactface_jax.models.positions import MASKED, alignment_bias, periodic, sinusoidal, temporal_bias
from reactface_jax.models.reaction_decoder import interpolate_latents
from reactface_jax.models.video_encoder import VideoEncoder, instance_norm, resize_nearest
from reactface_jax.ops import convolution, grouped_convolution, kernel_gradient
from reactface_jax.ops.pooling import max_pool

assert_close = functools.partial(chex.assert_trees_all_close, rtol=0, atol=1e-5)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# Weights ------------------------------------------------------------------------------------------------------------


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def linear(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, np.ndarray]:
    return {"kernel": array(weight.T), "bias": array(bias)}


def attention(module: nn.MultiheadAttention) -> dict[str, dict[str, np.ndarray]]:
    projections = zip(module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
    out = linear(module.out_proj.weight, module.out_proj.bias)
    return {"out": out} | {
        name: linear(*parts) for name, parts in zip(("query", "key", "value"), projections, strict=True)
    }


def layer_params(layer: nn.TransformerDecoderLayer | nn.TransformerEncoderLayer) -> dict[str, dict]:
    params = {name: linear(part.weight, part.bias) for name, part in layer.named_children() if "linear" in name}
    for name, part in layer.named_children():
        if "norm" in name:
            params[name] = {"scale": array(part.weight), "bias": array(part.bias)}
        elif name.endswith("attn"):
            params["self_attention" if name == "self_attn" else "cross_attention"] = attention(part)
    return params


# Transformer layers -------------------------------------------------------------------------------------------------

B, FRAMES, D, HEADS = 2, 12, 24, 6


@pytest.mark.parametrize("masked", [False, True])
def test_decoder_layer(masked: bool):
    layer = nn.TransformerDecoderLayer(D, HEADS, 2 * D, batch_first=True).eval()
    randomise(layer)
    x, memory = normal(B, FRAMES, D), normal(B, 2 * FRAMES, D, seed=1)
    masks, torch_masks = (None, None), (None, None)
    if masked:  # every head and every frame sees something else
        masks = normal(HEADS, FRAMES, FRAMES), normal(HEADS, FRAMES, 2 * FRAMES)
        masks[0][:, np.triu_indices(FRAMES, 1)[0], np.triu_indices(FRAMES, 1)[1]] = MASKED
        torch_masks = tuple(torch.tensor(mask).where(torch.tensor(mask) > MASKED, -torch.inf) for mask in masks)
        torch_masks = tuple(mask.repeat(B, 1, 1) for mask in torch_masks)
    theirs = layer(torch.tensor(x), torch.tensor(memory), *torch_masks)
    masks = [None if mask is None else jnp.asarray(mask) for mask in masks]
    ours = DecoderLayer(HEADS).apply({"params": layer_params(layer)}, jnp.asarray(x), jnp.asarray(memory), *masks)
    assert_close(ours, array(theirs))


def test_decoder_layer_shares_one_memory_among_reactions():
    layer = nn.TransformerDecoderLayer(D, HEADS, 2 * D, batch_first=True).eval()
    x, memory = jnp.asarray(normal(B, 3, FRAMES, D)), jnp.asarray(normal(B, 1, FRAMES, D, seed=1))
    ours = DecoderLayer(HEADS).apply({"params": layer_params(layer)}, x, memory)
    for reaction in range(3):
        theirs = layer(torch.tensor(np.array(x[:, reaction])), torch.tensor(np.array(memory[:, 0])))
        assert_close(ours[:, reaction], array(theirs))


def test_encoder_layer():
    layer = nn.TransformerEncoderLayer(D, 4, 40, batch_first=True).eval()
    randomise(layer)
    x = normal(B, FRAMES, D)
    used = 7  # of the twelve tokens; the rest is a buffer's empty end
    with torch.enable_grad():  # without gradients PyTorch takes a fused path
        theirs = array(layer(torch.tensor(x[:, :used])))
    mask = jnp.where(jnp.arange(FRAMES) < used, 0.0, MASKED)
    encoder, params = EncoderLayer(4, 40), {"params": layer_params(layer)}
    assert_close(encoder.apply(params, jnp.asarray(x), mask)[:, :used], theirs)
    assert_close(encoder.apply(params, jnp.asarray(x), mask, num_queries=2), theirs[:, :2])


# Positions and biases -----------------------------------------------------------------------------------------------


def naive_encoding(position: int, dim: int) -> list[float]:
    angles = [position * 10_000 ** (-2 * i / dim) for i in range(dim // 2)]
    return [wave(angle) for angle in angles for wave in (math.sin, math.cos)]


def test_sinusoidal():
    positions = [0, 1, 7, 255, 750]
    expected = np.array([naive_encoding(t, D) for t in positions], np.float32)
    # A float32 angle of 750 is exact to 3e-5.
    chex.assert_trees_all_close(sinusoidal(jnp.array(positions), D), expected, rtol=0, atol=1e-4)


def test_periodic():
    assert_close(periodic(20, D, 8), np.array([naive_encoding(t % 8, D) for t in range(20)], np.float32))


def naive_slopes(heads: int) -> list[float]:
    """Of the ALiBi paper's code."""
    if heads & (heads - 1) == 0:
        return [2 ** (-8 * (k + 1) / heads) for k in range(heads)]
    power = 1
    while 2 * power < heads:
        power *= 2
    return naive_slopes(power) + naive_slopes(2 * power)[::2][: heads - power]


def naive_bias(heads: int, frames: int, memory: int, last, unit: int) -> np.ndarray:
    """Frame i sees memory frames up to `last(i)`, less the farther back they are."""
    bias = np.full((heads, frames, memory), -np.inf, np.float32)
    for head, slope in enumerate(naive_slopes(heads)):
        for i in range(frames):
            for j in range(memory):
                if j <= last(i):
                    bias[head, i, j] = -slope * ((last(i) - j) // unit)
    return bias


def assert_biases_equal(ours: jax.Array, theirs: np.ndarray) -> None:
    assert_close(jnp.where(ours > MASKED, ours, -jnp.inf), theirs, atol=1e-6)


@pytest.mark.parametrize("heads", [2, 6, 8, 12])
@pytest.mark.parametrize("period", [4, 8])
def test_temporal_bias(heads: int, period: int):
    assert_biases_equal(temporal_bias(heads, 24, period), naive_bias(heads, 24, 24, lambda i: i, period))


def test_slopes_of_eight_heads():
    bias = temporal_bias(8, 9, 8)
    np.testing.assert_array_equal(bias[:, 8, 0], [-0.5, -0.25, -0.125, -1 / 16, -1 / 32, -1 / 64, -1 / 128, -1 / 256])


@pytest.mark.parametrize("heads", [6, 8])
@pytest.mark.parametrize("ratio", [1, 2])
def test_alignment_bias(heads: int, ratio: int):
    frames, memory = 16, 16 * ratio
    bias = functools.partial(alignment_bias, heads, frames, memory, period=8, ratio=ratio)
    offset = memory - frames
    assert_biases_equal(bias(offset=offset), naive_bias(heads, frames, memory, lambda i: offset + i, 8))
    strict = naive_bias(heads, frames, memory, lambda i: ratio * i, 8 * ratio)
    assert_biases_equal(bias(offset=offset, alignment="strict"), strict)
    own = [[0 if j // ratio == i else -np.inf for j in range(memory)] for i in range(frames)]
    own = np.broadcast_to(np.array(own, np.float32), (heads, frames, memory))
    assert_biases_equal(bias(offset=offset, alignment="point_to_point"), own)


def test_alignment_bias_in_a_buffer_that_is_longer_than_the_past():
    """The first rows for 8 frames of past are those of the 8 frames by themselves."""
    bias = functools.partial(alignment_bias, 8, period=4, ratio=2)
    buffer = jax.jit(lambda past: bias(24, 48, offset=past))(8)
    np.testing.assert_array_equal(buffer[:, :8, :16], bias(8, 16, offset=8))


def test_oracle_biases():
    """The oracle's masks, which it computes at once, are the loops' too."""
    for frames, memory in ((16, 16), (16, 32)):
        theirs = reactface_torch.causal_bias(frames, memory, 6, 4)
        assert_close(theirs.numpy(), naive_bias(6, frames, memory, lambda i, m=memory: m - 16 + i, 4), atol=1e-6)


@pytest.mark.parametrize("frames", [1, 4, 8, 13, 64])
def test_interpolate_latents(frames: int):
    previous, current = normal(B, 3, D), normal(B, 3, D, seed=1)
    pair = torch.stack([torch.tensor(previous), torch.tensor(current)], dim=-1).flatten(0, 1)
    theirs = F.interpolate(pair, size=frames, mode="linear", align_corners=False)
    theirs = theirs.unflatten(0, (B, 3)).transpose(2, 3).numpy()
    assert_close(interpolate_latents(jnp.asarray(previous), jnp.asarray(current), frames), theirs)


# F-Enc --------------------------------------------------------------------------------------------------------------


def channels_first(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x).movedim(-1, 1)


@pytest.mark.parametrize("padding", [(4, 3), (0, 3)])
@pytest.mark.parametrize("conv", [grouped_convolution.native, grouped_convolution.grouped_conv])
def test_grouped_convolution_and_its_gradients(conv, padding):
    x, weight = normal(2, 12, 6), normal(8, 2, 9, seed=1)
    theirs = [torch.tensor(x, requires_grad=True), torch.tensor(weight, requires_grad=True)]
    padded = F.pad(theirs[0], (0, 0, *padding)).transpose(1, 2)
    y = F.conv1d(padded, theirs[1].permute(2, 1, 0), groups=3).transpose(1, 2)
    weights = normal(*y.shape, seed=2)
    (y * torch.tensor(weights)).sum().backward()

    def loss(x, weight):
        ours = conv(x, weight, padding, 3)
        return (ours * weights).sum(), ours

    gradients, ours = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, weight)
    assert_close(ours, array(y))
    assert_close(gradients, tuple(each.grad.numpy() for each in theirs), atol=2e-5)


# One frame is folded on a CPU where it has three channels, else a plain sum.
FORMS = {
    "native": (convolution.native, 6),
    "plain sum": (functools.partial(convolution.tiled, tile=1), 6),
    "tiles of 2": (functools.partial(convolution.tiled, tile=2), 6),
    "tiles of 4": (functools.partial(convolution.tiled, tile=4), 6),
    "chosen for one frame": (convolution.conv3d, 1),
}
LAYERS = [(3, (5, 7, 7), 2), (8, (5, 7, 7), 2), (8, (3, 3, 3), 2), (8, (3, 3, 3), 1)]  # channels, kernel, stride


@pytest.mark.parametrize(("form", "frames"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("channels", "kernel", "stride"), LAYERS)
def test_convolution(form, channels: int, kernel: tuple[int, int, int], stride: int, frames: int):
    x = normal(B, frames, 14, 11, channels)
    weight = normal(8, channels, *kernel, seed=1) / np.float32(math.sqrt(channels * math.prod(kernel)))
    padding = tuple(size // 2 for size in kernel)
    theirs = F.conv3d(channels_first(x), torch.tensor(weight), stride=(1, stride, stride), padding=padding)
    ours = form(jnp.asarray(x), jnp.asarray(weight.transpose(2, 3, 4, 1, 0)), stride=stride)
    assert_close(ours, theirs.movedim(1, -1).numpy())


@pytest.mark.parametrize(
    ("form", "taken"), [(convolution.on_tpu, convolution.blocked), (convolution.on_gpu, convolution.native)]
)
def test_accelerators_convolve_few_channels_in_forms_of_their_own(form, taken, monkeypatch: pytest.MonkeyPatch):
    """conv2: by TPUs over blocks of pixels, with both gradients as those of PyTorch in the test below."""
    calls = []
    monkeypatch.setattr(convolution, taken.__name__, lambda *operands: calls.append(taken) or taken(*operands))
    compare_value_and_gradients(functools.partial(form, stride=2), 8, (5, 7, 7), 2, (14, 11))
    assert calls


def test_blocks_of_pixels_without_a_margin_in_time():
    """As causal models convolve, whose input begins with the frames before."""
    x, kernel = (jnp.asarray(normal(*shape, seed=1) / 10) for shape in ((B, 9, 14, 11, 8), (5, 7, 7, 8, 8)))
    (ours, pull_ours), (native, pull_native) = (
        jax.vjp(functools.partial(form, stride=2, margin=0), x, kernel)
        for form in (convolution.on_tpu, convolution.native)
    )
    assert ours.shape == (B, 5, 7, 6, 8)
    assert_close(ours, native)
    cotangent = jnp.asarray(normal(*ours.shape, seed=2) / 10)
    assert_close(pull_ours(cotangent), pull_native(cotangent))


@pytest.mark.parametrize(("channels", "kernel", "stride"), LAYERS)
@pytest.mark.parametrize(("size", "tile"), [((9, 12), 1), ((14, 11), 2), ((9, 12), 4)])
def test_value_and_gradients_of_the_chosen_convolution(
    channels: int, kernel: tuple[int, int, int], stride: int, size: tuple[int, int], tile: int
):
    convolve = functools.partial(convolution.conv3d, stride=stride, tile=tile)
    compare_value_and_gradients(convolve, channels, kernel, stride, size)


def compare_value_and_gradients(
    convolve, channels: int, kernel: tuple[int, int, int], stride: int, size: tuple[int, int]
):
    """With PyTorch's."""
    x = normal(B, 6, *size, channels) / 10  # sums of up to a thousand terms stay near 1
    weight = normal(8, channels, *kernel, seed=1) / np.float32(math.sqrt(channels * math.prod(kernel)))
    theirs = channels_first(x).requires_grad_(), torch.tensor(weight, requires_grad=True)
    padding = tuple(edge // 2 for edge in kernel)
    y = F.conv3d(*theirs, stride=(1, stride, stride), padding=padding)
    cotangent = normal(*y.movedim(1, -1).shape, seed=2) / 10
    y.backward(channels_first(cotangent))
    value, pull_back = jax.vjp(convolve, jnp.asarray(x), jnp.asarray(weight.transpose(2, 3, 4, 1, 0)))
    assert_close(value, y.movedim(1, -1).detach().numpy())
    ours = pull_back(jnp.asarray(cotangent))
    assert_close(ours[0], theirs[0].grad.movedim(1, -1).numpy())
    assert_close(ours[1], theirs[1].grad.numpy().transpose(2, 3, 4, 1, 0))


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_convolution_of_single_frames(frames: int):
    """A kernel of one tap in time convolves any number of frames, even none."""
    x, weight = normal(1, frames, 9, 12, 8), normal(8, 8, 1, 3, 3, seed=1) / np.float32(math.sqrt(72))
    theirs = F.conv2d(channels_first(x)[0].movedim(0, 1), torch.tensor(weight[:, :, 0]), stride=2, padding=1)

    ours = convolution.conv3d(jnp.asarray(x), jnp.asarray(weight.transpose(2, 3, 4, 1, 0)), stride=2)
    assert_close(ours[0], theirs.movedim(1, -1).numpy())


@pytest.mark.parametrize("tile", [1, 2, 4])
def test_other_tiles_of_frames_stay_the_same_to_the_bit(tile: int):
    x, kernel = normal(1, 12, 9, 9, 8), jnp.asarray(normal(3, 3, 3, 8, 8, seed=1))
    convolve = jax.jit(functools.partial(convolution.conv3d, stride=1, margin=0, tile=tile))
    before = np.asarray(convolve(jnp.asarray(x), kernel))
    x[:, 6] += 1  # frames 4 to 6 of the result see it
    changed = [
        t for t, frame in enumerate(np.asarray(convolve(jnp.asarray(x), kernel))[0]) if (frame != before[0, t]).any()
    ]
    assert {4, 5, 6} <= set(changed) <= set(range(4, 8 if tile > 1 else 7))


@pytest.mark.parametrize("margin", [None, 0])
def test_kernel_gradient_in_turns(monkeypatch: pytest.MonkeyPatch, margin: int | None):
    """A long clip is taken in turns, the last one filled with nothing: the same sum."""
    monkeypatch.setattr(kernel_gradient, "_ROWS", 1)
    x = jnp.asarray(normal(B, 23, 9, 12, 3) / 10)
    weight = normal(5, 7, 7, 3, 8, seed=1)
    y, pull_back = jax.vjp(lambda weight: convolution.native(x, weight, 2, margin), jnp.asarray(weight))
    cotangent = jnp.asarray(normal(*y.shape, seed=2) / 10)
    ours = jax.jit(kernel_gradient.kernel_gradient, static_argnums=(2, 3, 4))(x, cotangent, weight.shape, 2, margin)
    assert_close(ours, pull_back(cotangent)[0], atol=2e-5)


@pytest.mark.parametrize("size", [(12, 9), (3, 4), (7, 7)])
def test_max_pool(size: tuple[int, int]):
    """Values and gradients, of equal pixels too: those below a half are the same."""
    x = np.maximum(normal(B, 2, *size, 3), 0.5)
    theirs = channels_first(x).requires_grad_()
    y = F.max_pool3d(theirs, (1, 3, 3), stride=(1, 2, 2))
    cotangent = normal(*y.movedim(1, -1).shape, seed=1)
    y.backward(channels_first(cotangent))
    ours, pull_back = jax.vjp(max_pool, jnp.asarray(x))
    assert_close(ours, y.movedim(1, -1).detach().numpy())
    assert_close(pull_back(jnp.asarray(cotangent))[0], theirs.grad.movedim(1, -1).numpy())


def test_instance_norm():
    x = 3 + 2 * normal(B, 5, 6, 7, 4)
    layer = nn.InstanceNorm3d(4, affine=False)
    ours = instance_norm(jnp.asarray(x), jnp.asarray(x.mean((2, 3))), jnp.asarray(x.var((2, 3))))
    assert_close(ours, layer(channels_first(x)).movedim(1, -1).numpy())


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (28, 28), (28, 30), (55, 41), (112, 112)])
def test_resize_nearest(size: tuple[int, int]):
    x = normal(1, 2, *size, 3)
    theirs = F.interpolate(channels_first(x), size=(2, 28, 28), mode="nearest").movedim(1, -1).numpy()
    np.testing.assert_array_equal(resize_nearest(jnp.asarray(x), 28), theirs)


@pytest.mark.parametrize(("frames", "size"), [(5, (64, 64)), (2, (224, 224)), (3, (120, 90))])
def test_video_encoder(frames: int, size: tuple[int, int]):
    encoder = reactface_torch.VideoEncoder(8)
    randomise(encoder)
    params = {"fc": linear(encoder.fc.weight, encoder.fc.bias)}
    for name, conv in encoder.Conv3D.named_children():
        params[name] = {"kernel": array(conv.weight.permute(2, 3, 4, 1, 0))}
    video = normal(B, frames, *size, 3)
    with torch.no_grad():
        theirs = encoder(torch.tensor(video)).numpy()
    assert_close(jax.jit(VideoEncoder(8).apply)({"params": params}, video), theirs)
