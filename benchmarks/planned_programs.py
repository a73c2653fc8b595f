"""Whole programs of a configuration, ready to be compiled for chips that are described and not there.

- `train`, `validation`: on a mesh of all chips;
- `window`: one window of the window protocol; `stream`: one window of a causal model's conversation; both on one chip.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from reactface_jax.config import Config
from reactface_jax.models.build import build_model
from reactface_jax.models.causal.reactface import CausalReactFace
from reactface_jax.models.causal.reactface import start as start_stream
from reactface_jax.models.precision import products
from reactface_jax.models.reactface import ReactFace
from reactface_jax.training.program import make_program
from reactface_jax.training.sharding import make_mesh
from reactface_jax.training.validation import make_validation_step
from reactface_jax.types import SAMPLES_PER_FRAME


class Planned(NamedTuple):
    """A program and what it is called with."""

    name: str
    function: Any
    """A `jax.jit`."""
    shapes: tuple[Any, ...]
    """Of its arguments, with the shardings that say for which chips."""


def on_one_chip(tree: Any, device: Any) -> Any:
    """Shapes that lie on one described chip."""
    everywhere = NamedSharding(Mesh(np.array([device]), ("chip",)), PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), tree)


def train(config: Config, devices: Sequence[Any], conversations: int = 1) -> Planned:
    """A training step; its number of clips is the configuration's."""
    program = make_program(config, make_mesh(list(devices), config.mesh))
    return Planned("train", program.step, (program.state, program.batch))


def validation(config: Config, devices: Sequence[Any], conversations: int = 1) -> Planned:
    """A batch of whole clips answered and compared."""
    mesh = make_mesh(list(devices), config.mesh)
    whole = dataclasses.replace(config, data=dataclasses.replace(config.data, clip_frames=config.data.eval_frames))
    program = make_program(whole, mesh)
    step = make_validation_step(program.objective, mesh)
    return Planned(f"validation, protocol {config.eval.protocol}", step, (program.state.best_variables, program.batch))


def window(config: Config, devices: Sequence[Any], conversations: int = 1) -> Planned:
    """One window of each conversation, all reactions, by the window protocol."""
    model, params = _parameters(config)

    def react(params: Any, video: Any, audio: Any, noise: Any) -> Any:
        with products(config.model, training=False):
            return model.apply({"params": params}, video, audio, noise, method=ReactFace.react_to_windows)

    return Planned("window", jax.jit(react), on_one_chip((params, *_window(config, conversations)), devices[0]))


def stream(config: Config, devices: Sequence[Any], conversations: int = 1) -> Planned:
    """One window of each conversation of a causal model, whose state it updates in place."""
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, causal=True))
    model, params = _parameters(config)
    size = config.data.image_size
    state = jax.eval_shape(lambda: start_stream(config.model, conversations, config.eval.num_reactions, (size, size)))

    def step(params: Any, state: Any, video: Any, audio: Any, noise: Any) -> Any:
        with products(config.model, training=False):
            return model.apply({"params": params}, state, video, audio, noise, method=CausalReactFace.step)

    shapes = on_one_chip((params, state, *_window(config, conversations)), devices[0])
    return Planned("stream", jax.jit(step, donate_argnums=1), shapes)


PROGRAMS: Mapping[str, Callable[[Config, Sequence[Any], int], Planned]] = {
    "train": train,
    "validation": validation,
    "window": window,
    "stream": stream,
}


def _parameters(config: Config) -> tuple[ReactFace, Any]:
    model, size, frames = build_model(config.model), config.data.image_size, config.model.window
    clip = (
        jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32),
        jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32),
    )
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    return model, jax.eval_shape(model.lazy_init, keys, *clip)["params"]


def _window(config: Config, conversations: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Video, sound and noise of one window."""
    size, frames, model = config.data.image_size, config.model.window, config.model
    return (
        jax.ShapeDtypeStruct((conversations, frames, size, size, 3), jnp.float32),
        jax.ShapeDtypeStruct((conversations, frames * SAMPLES_PER_FRAME), jnp.float32),
        jax.ShapeDtypeStruct((conversations, config.eval.num_reactions, 1, model.feature_dim), jnp.float32),
    )
