"""The steps lower for TPU and CUDA on a machine that has neither: what these platforms refuse shows here.

Full widths and real sizes, one layer of wav2vec 2.0: twelve are the same operations again. Lowering runs nothing.
"""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import reactface_jax as rf
from reactface_jax.config import AudioConfig, Config, MeshConfig, ModelConfig
from reactface_jax.models.reactface import ReactFace
from reactface_jax.online import stream
from reactface_jax.training import sharding
from reactface_jax.training.program import make_program
from reactface_jax.types import SAMPLES_PER_FRAME

PLATFORMS = ("tpu", "cuda")
MODEL = ModelConfig(audio=AudioConfig(num_layers=1), dtype="bfloat16")


def shape(*sizes: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def lowered(function, *arguments) -> str:
    exported = jax.export.export(function, platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported.mlir_module()


def test_the_train_step_lowers_on_a_mesh():
    config = Config(model=MODEL, mesh=MeshConfig(fsdp=2, model=2))
    program = make_program(config, sharding.make_mesh(config=config.mesh))
    module = lowered(program.step, program.state, program.batch)
    assert "bf16" in module
    assert "dim_numbers = [b, 0, 1, 2, f]" in module  # F-Enc's native 3-D convolution, not the CPU's sums of taps


def parameters(model: ReactFace):
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    video, audio = shape(1, 8, 224, 224, 3), shape(1, 8 * SAMPLES_PER_FRAME)
    return jax.eval_shape(model.lazy_init, keys, video, audio)["params"]


@pytest.mark.long  # what it lowers is in the train step, too
def test_the_window_step_lowers():
    model = rf.build_model(MODEL)

    def window(params, video, audio, noise):
        return model.apply({"params": params}, video, audio, noise, method=ReactFace.react_to_windows)

    video, audio, noise = shape(4, 8, 224, 224, 3), shape(4, 8 * SAMPLES_PER_FRAME), shape(4, 10, 1, 128)
    assert lowered(jax.jit(window), parameters(model), video, audio, noise)


@pytest.mark.parametrize("rows", [1])
def test_the_stream_step_lowers(rows):
    model = rf.build_model(dataclasses.replace(MODEL, causal=True))
    params = parameters(model)
    state = jax.eval_shape(lambda: stream.start(model, None, rows, 10))
    video, audio, noise = shape(rows, 8, 224, 224, 3), shape(rows, 8 * SAMPLES_PER_FRAME), shape(rows, 10, 1, 128)

    def step(params, state, video, audio, noise):
        return stream._step(model, params, state, video, audio, noise, None)

    assert lowered(jax.jit(step), params, state, video, audio, noise)
