"""One device and eight fake ones compute the same, whatever the mesh.

What the table splits are the encoders: their loss and gradients are compared on every mesh. The whole step, which takes
much longer to compile, is compared on one that splits everything, and without F-Enc.
"""

import dataclasses
import functools
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_model import drawn, without_dropout

from reactface_jax.config import MeshConfig, load_config
from reactface_jax.models.boundary import at_boundary
from reactface_jax.models.video_encoder import VideoEncoder
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder
from reactface_jax.training import sharding
from reactface_jax.training.program import make_program
from reactface_jax.training.state import TrainState
from reactface_jax.tree_names import named_leaves
from reactface_jax.types import SAMPLES_PER_FRAME, Batch

FRAMES = 8
FLAGS = (
    "--train.batch-size 8 --train.num-reactions 2 --model.interaction-layers 1 --model.audio.num-heads 8 "
    "--model.dropout 0 --model.no-use-video"
)
CONFIG = load_config(pathlib.Path(__file__).parents[2] / "configs" / "tiny.py", FLAGS.split())
# Without dropout, so that only the order of sums differs; sampling stays.
CONFIG = dataclasses.replace(CONFIG, model=without_dropout(CONFIG.model))
AUDIO = CONFIG.model.audio


def make_batch(size: int = 8, neighbours: int = 3) -> Batch:
    rng = np.random.default_rng(0)
    side = CONFIG.data.image_size
    return Batch(
        video=rng.integers(0, 256, (size, FRAMES, side, side, 3), dtype=np.uint8),
        audio=rng.standard_normal((size, FRAMES * SAMPLES_PER_FRAME)).astype(np.float32),
        speaker=rng.standard_normal((size, FRAMES, 58)).astype(np.float32),
        listener=rng.standard_normal((size, FRAMES, 58)).astype(np.float32),
        neighbours=rng.standard_normal((size, neighbours, FRAMES, 58)).astype(np.float32),
        neighbour_mask=rng.random((size, neighbours)) < [1.0, 0.7, 0.5],
        clip=np.arange(size),
    )


@pytest.fixture(scope="module")
def start() -> TrainState:
    program = make_program(CONFIG, sharding.make_mesh(jax.devices()[:1], MeshConfig()))
    params, state = drawn(program.state.params), program.state.method_state
    return jax.device_get(
        TrainState.create(params, program.objective.optimizer, jax.random.key(0), average=False, method_state=state)
    )


def one_step(start: TrainState, devices, config: MeshConfig) -> tuple[TrainState, dict[str, jax.Array]]:
    """The state after a step on these devices, and its metrics."""
    mesh = sharding.make_mesh(devices, config)
    program = make_program(CONFIG, mesh)
    start = dataclasses.replace(start, key=jax.random.key(0))  # a key stays on its device, and the step takes it
    return program.step(jax.device_put(start, program.placement), sharding.place_batch(make_batch(), mesh))


@pytest.fixture(scope="module")
def one_device(start) -> tuple[TrainState, dict[str, jax.Array]]:
    return jax.device_get(one_step(start, jax.devices()[:1], MeshConfig()))


class Encoders(nn.Module):
    """F-Enc and wav2vec 2.0 under the names that the table knows, and a number made of all that they say."""

    @nn.compact
    def __call__(self, video, audio):
        frames = at_boundary(VideoEncoder(32, 8, name="video_encoder")(video))
        speech = at_boundary(Wav2Vec2Encoder(AUDIO, name="audio_encoder")(audio))
        return jnp.sin(3 * frames).mean() + jnp.sin(3 * speech).mean()


@functools.cache
def encoders() -> tuple[dict, dict]:
    """Parameters drawn without a compilation, and clips."""
    rng = np.random.default_rng(0)
    clips = {
        "video": rng.uniform(-1, 1, (8, 4, 32, 32, 3)).astype(np.float32),
        "audio": rng.standard_normal((8, 4 * SAMPLES_PER_FRAME)).astype(np.float32),
    }
    shapes = jax.eval_shape(lambda clips: Encoders().init(jax.random.key(0), **clips), clips)["params"]
    return drawn(shapes), clips


def loss_and_gradients(devices, config: MeshConfig):
    mesh = sharding.make_mesh(devices, config)
    params, clips = encoders()
    placement = sharding.shardings({"params": params}, mesh)["params"]

    def loss(params, clips):
        return Encoders().apply({"params": sharding.gathered(params)}, **clips)

    step = jax.jit(sharding.on_mesh(jax.value_and_grad(loss), mesh), out_shardings=(None, placement))
    rows = jax.sharding.NamedSharding(mesh, sharding.BATCH_SPEC)
    return step(jax.device_put(params, placement), jax.device_put(clips, rows))


@functools.cache
def encoded_alone():
    return jax.device_get(loss_and_gradients(jax.devices()[:1], MeshConfig()))


# All axes, and each by itself.
SHAPES = [(2, 2, 2), (8, 1, 1), *(pytest.param(shape, marks=pytest.mark.long) for shape in [(1, 8, 1), (1, 1, 8)])]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_on_every_mesh_eight_devices_encode_as_one_does(shape):
    (loss, gradients), (loss_alone, gradients_alone) = (
        loss_and_gradients(jax.devices(), MeshConfig(*shape)),
        encoded_alone(),
    )
    np.testing.assert_allclose(loss, loss_alone, rtol=1e-5)
    for path, x in jax.tree_util.tree_leaves_with_path(gradients):
        y = functools.reduce(lambda tree, key: tree[key.key], path, gradients_alone)
        # A ReLU whose argument is zero but for rounding may let a gradient pass on one mesh only.
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3 * np.abs(y).max() + 1e-8, err_msg=str(path))
    # Parts are parts: of the hidden layer a device holds as much as the mesh says.
    kernel = gradients["audio_encoder"]["layer_0"]["linear1"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (32 // shape[1], 32 // shape[2])


@pytest.mark.parametrize("shape", [(2, 2, 2), pytest.param((8, 1, 1), marks=pytest.mark.long)], ids=str)
def test_eight_devices_compute_what_one_does(start, one_device, shape):
    (one, metrics_one), (eight, metrics_eight) = one_device, one_step(start, jax.devices(), MeshConfig(*shape))
    for name, value in metrics_one.items():
        np.testing.assert_allclose(metrics_eight[name], value, rtol=2e-5, err_msg=name)
    # The moments are 0.1 times the gradients, and 0.001 times their squares. A ReLU may let a single gradient pass on
    # one side only, where its argument is zero but for rounding; keys' biases have no gradient but rounding.
    (adam,), (other,) = (
        [part for part in jax.tree.leaves(state.opt_state, is_leaf=is_adam) if is_adam(part)] for state in (one, eight)
    )
    for moments, others in ((adam.mu, other.mu), (adam.nu, other.nu)):
        largest = max(np.abs(x).max() for x in jax.tree.leaves(moments))
        for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(moments), jax.tree.leaves(others), strict=True):
            tolerance = 2e-3 * np.abs(x).max() + 1e-5 * largest
            np.testing.assert_allclose(x, y, rtol=0, atol=tolerance, err_msg=jax.tree_util.keystr(path))
    # AdamW's first step is as long as the learning rate, in the direction of the gradient's sign: where that is no
    # matter of rounding, both take the same step.
    gradients = named_leaves(adam.mu)
    largest, compared = max(np.abs(x).max() for x in gradients.values()), 0
    leaves = (jax.tree.leaves(state.params) for state in (start, one, eight))
    for path, before, x, y in zip(named_leaves(start.params), *leaves, strict=True):
        assert len(y.devices()) == 8
        gradient = gradients.get(path, np.zeros_like(x))  # frozen parameters have none, and stay
        certain = (np.abs(gradient) > max(0.01 * np.abs(gradient).max(), 1e-5 * largest)) | (not gradient.any())
        steps, others = ((np.asarray(after) - before) / CONFIG.optimizer.learning_rate for after in (x, y))
        assert np.abs(steps - others)[certain].max(initial=0) < 0.02, path
        if gradient.any():
            assert np.abs(steps)[certain].min(initial=1) > 0.5, path
            compared += certain.sum()
    assert compared > 0.5 * sum(x.size for x in gradients.values())


def is_adam(part: object) -> bool:
    return isinstance(part, optax.ScaleByAdamState)


def test_a_batch_is_distributed_over_the_devices():
    mesh = sharding.make_mesh(config=MeshConfig(fsdp=2, model=2))
    batch = sharding.place_batch(make_batch(), mesh)
    assert batch.video.addressable_shards[0].data.shape[0] == 2
    np.testing.assert_array_equal(batch.clip, np.arange(8))
