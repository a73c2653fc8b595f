"""What the benchmarks count: arithmetic of a step, the speed it is compared with, memory of a device, layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks import convolution_forms, train_step
from benchmarks.train_step import best_speed, count_flops
from benchmarks.video_encoder import layers_of
from reactface_jax.ops import convolution, grouped_convolution


def flops(function, *shapes) -> int:
    return count_flops(jax.make_jaxpr(function)(*shapes).jaxpr)


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_a_product_in_a_loop_counts_with_every_turn():
    def loop(x, kernels):
        return jax.lax.scan(lambda x, kernel: (x @ kernel, None), x, kernels)[0]

    assert flops(loop, shape(3, 8), shape(12, 8, 8)) == 12 * 2 * 3 * 8 * 8


@pytest.mark.parametrize(
    ("convolve", "x", "kernel", "forward"),
    [
        # wav2vec 2.0's positional convolution: 128 taps, 16 groups of 48 channels
        (
            functools.partial(grouped_convolution.native, padding=(64, 63), groups=16),
            (2, 128, 768),
            (128, 48, 768),
            2 * 2 * 128 * 768 * 128 * 48,
        ),
        (functools.partial(convolution.native, stride=1), (1, 6, 8, 8, 3), (5, 7, 7, 3, 4), 2 * 6 * 64 * 4 * 735),
        (functools.partial(convolution.native, stride=2), (1, 6, 8, 8, 3), (5, 7, 7, 3, 4), 2 * 6 * 16 * 4 * 735),
    ],
)
def test_each_gradient_of_a_convolution_costs_as_much_as_the_forward_pass(convolve, x, kernel, forward):
    x, kernel = shape(*x), shape(*kernel)
    y = jax.eval_shape(convolve, x, kernel)
    assert flops(convolve, x, kernel) == forward
    for of in (0, 1):

        def forward_and_gradient(x, kernel, y, of=of):
            operands = [x, kernel]
            _, pull = jax.vjp(lambda one: convolve(*operands[:of], one, *operands[of + 1 :]), operands[of])
            return pull(y)

        assert flops(forward_and_gradient, x, kernel, y) == 2 * forward


def test_all_devices_together_are_what_a_step_is_compared_with(monkeypatch):
    measured = {"float32": 3e12, "bfloat16": 7e12}
    monkeypatch.setattr(train_step, "matrix_product_speed", measured.get)
    assert best_speed(1, "bfloat16", 312.0) == 312.0
    assert best_speed(8, "bfloat16", 312.0) == 8 * 312.0
    assert best_speed(8, "float32") == 8 * 3.0
    assert best_speed(2, "bfloat16") == 2 * 7.0


def test_a_device_holds_its_shards_and_what_is_not_split():
    from benchmarks.scaling import bytes_of_a_device

    mesh = Mesh(np.array(jax.devices()[:2]), ("fsdp",))
    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("fsdp",), ()))
    tree = [
        jax.ShapeDtypeStruct((6, 5), jnp.float32, sharding=split),
        jax.ShapeDtypeStruct((7,), jnp.uint8, sharding=whole),
    ]
    assert bytes_of_a_device(tree) == 3 * 5 * 4 + 7


@pytest.mark.parametrize("size", [224, 96, 33])
def test_layers_of_f_enc_see_maps_of_their_size(size):
    """Followed through the encoder: a convolution of stride 2, pooling over 3 by steps of 2, then the others."""
    layers = layers_of(size, 8)
    x = shape(1, 2, size, size, 3)
    for name, ((side, channels), kernel, stride) in layers.items():
        assert x.shape == (1, 2, side, side, channels), name
        x = jax.eval_shape(functools.partial(convolution.native, stride=stride), x, shape(*kernel))
        if name == "conv1":
            side = (x.shape[2] - 3) // 2 + 1
            x = shape(1, 2, side, side, x.shape[-1])
    assert layers_of(224, 128)["conv5"] == ((14, 128), (3, 3, 3, 128, 128), 2)


def test_pytorchs_gradients_are_timed_without_the_forward_pass(monkeypatch):
    torch = pytest.importorskip("torch")
    calls, conv3d = [], torch.nn.functional.conv3d

    def counted(*operands, **more):
        calls.append(1)
        return conv3d(*operands, **more)

    def timed(run, times):
        before = len(calls)
        run()
        return len(calls) - before

    monkeypatch.setattr(torch.nn.functional, "conv3d", counted)
    monkeypatch.setattr(convolution_forms, "seconds", timed)
    x, kernel = np.ones((1, 2, 8, 8, 3), np.float32), np.ones((5, 7, 7, 3, 4), np.float32)
    (row,) = convolution_forms._of_pytorch("conv1", "float32", x, kernel, device="cpu")
    assert (row["forward"], row["kernel"], row["input"]) == (1000, 0, 0)
