"""The files in configs/: they load, and differ from the reference in what they say."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import pytest

from reactface_jax.config import Config, differences, load_config
from reactface_jax.config_files import read_config_file
from reactface_jax.methods.listener.config import ListenerConfig
from reactface_jax.models.build import build_model
from reactface_jax.rendering.portrait.config import RendererConfig

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    "path", sorted([*CONFIGS.glob("*.py"), *CONFIGS.glob("methods/*.py")]), ids=lambda path: path.stem
)
def test_every_configuration_loads_and_tells_how_to_run_it(path):
    assert isinstance(read_config_file(path), Config | RendererConfig | ListenerConfig)
    docstring = path.read_text().split('"""')[1]
    name = path.relative_to(CONFIGS).with_suffix("").as_posix()
    for word in (f"reactface train --config {name} ", "ardware", "Time:", "Expected:"):
        assert word in docstring


def test_reference_is_the_authors_code():
    config = load_config(CONFIGS / "reference.py")
    assert config == Config()
    assert (config.loss.kl, config.loss.diversity, config.loss.smooth) == (1e-5, 100, 10)
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (2e-5, 5e-4)
    assert (config.train.batch_size, config.train.num_reactions, config.data.clip_frames) == (8, 3, 256)


def test_paper_differs_from_the_reference_in_four_fields_of_the_model():
    lines = differences(Config(), load_config(CONFIGS / "paper.py"))
    assert [line.split(":")[0] for line in lines] == [
        "model.momentum",
        "model.interaction_layers",
        "model.sync_order",
        "model.alignment",
    ]


def test_what_makes_reactface_react_adds_no_parameters():
    """The study in docs/does_it_react.md compares the two."""
    demo, reacting = (load_config(CONFIGS / f"{name}.py") for name in ("demo", "reacting"))
    assert [line.split(":")[0] for line in differences(demo, reacting)] == [
        "model.bias_period",
        "model.alignment",
        "model.face_alignment",
        "model.memory",
        "model.past",
        "loss.pose",
        "loss.diversity",
        "train.num_reactions",
        "train.video_warmup",
    ]
    video, audio = jax.ShapeDtypeStruct((1, 32, 48, 48, 3), jnp.float32), jax.ShapeDtypeStruct((1, 20480), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(1)}
    one, other = (jax.eval_shape(build_model(each.model).init, keys, video, audio) for each in (demo, reacting))
    assert jax.tree.map(lambda x: x.shape, one) == jax.tree.map(lambda x: x.shape, other)


@pytest.mark.parametrize("name", ["reference", "paper"])
def test_full_size_models_have_the_shapes_of_training(name):
    config = load_config(CONFIGS / f"{name}.py")
    model = build_model(dataclasses.replace(config.model, window=config.train.window))
    frames = config.data.clip_frames
    video = jax.ShapeDtypeStruct((2, frames, 224, 224, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((2, 640 * frames), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(1)}
    out, variables = jax.eval_shape(lambda v, a: model.init_with_output(keys, v, a, num_reactions=3), video, audio)
    assert out.listener.shape == (2, 3, frames, 58)
    assert out.mean.shape == out.std.shape == (2, 3, frames // config.train.window, 128)
    assert out.speaker.shape == (2, frames, 58)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
