"""Made conversations small enough for a row's training to be seen in a test, and that training."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from reactface_jax.config.lfi import LfiConfig
from reactface_jax.config.zhou import ZhouConfig
from reactface_jax.methods.learned import LearnedMethod, Variables
from reactface_jax.types import SAMPLES_PER_FRAME, Batch

LFI = LfiConfig(
    face_window=6,
    speech_window=4,
    history=2,
    face_width=8,
    speech_width=8,
    flow_steps=2,
    condition_width=16,
    hidden_width=8,
    window=12,
    learning_rate=1e-2,
    statistics_batches=2,
)
ZHOU = ZhouConfig(input_width=16, width=8, window=8, shortest=4, learning_rate=1e-2, statistics_batches=2)


class Trained(NamedTuple):
    variables: Variables
    optimizer: Any
    metrics: list[dict[str, float]]


def conversations(seed: int, clips: int, frames: int, image: int = 0) -> Batch:
    """Speakers who move smoothly and listeners who do half of it ten frames later."""
    rng = np.random.default_rng(seed)
    time = np.arange(-10, frames)[None, :, None] / 25
    mix = np.random.default_rng(0).standard_normal((3, 58))  # the same for all people
    waves = np.sin(2 * np.pi * (rng.uniform(0.3, 0.8, (clips, 1, 3)) * time + rng.uniform(0, 1, (clips, 1, 3))))
    motion = (0.3 * waves @ mix).astype(np.float32)
    loudness = np.repeat(np.abs(waves[:, 10:, 0]), SAMPLES_PER_FRAME, axis=1)
    audio = (loudness * rng.standard_normal(loudness.shape)).astype(np.float32)
    listener = 0.5 * motion[:, :-10]
    return Batch(
        video=jnp.asarray(rng.integers(0, 256, (clips, frames, image, image, 3)), jnp.uint8),
        audio=jnp.asarray(audio / audio.std()),
        speaker=jnp.asarray(motion[:, 10:]),
        listener=jnp.asarray(listener),
        neighbours=jnp.asarray(listener[:, None]),
        neighbour_mask=jnp.ones((clips, 1), bool),
        clip=jnp.arange(clips),
    )


def batches(clips: int, frames: int, image: int = 0) -> Iterator[Batch]:
    seed = 0
    while True:
        yield conversations(seed, clips, frames, image)
        seed += 1


def start(method: LearnedMethod, data: Iterator[Batch]) -> Trained:
    """Before the first step."""
    variables = jax.jit(method.init)(jax.random.key(0))
    variables = method.begin(0, variables, data)
    return Trained(variables, jax.jit(method.optimizer().init)(variables.params), [])


def stepper(method: LearnedMethod) -> Any:
    """One compiled update: (variables, optimiser, batch, step) to (variables, optimiser, metrics)."""
    optimizer = method.optimizer()

    @jax.jit
    def update(variables: Variables, state: Any, batch: Batch, step: Any) -> Any:
        def loss(params: Any) -> Any:
            key = jax.random.fold_in(jax.random.key(1), step)
            return method.loss(Variables(params, variables.state), batch, key=key, step=step)

        (value, (metrics, kept)), gradients = jax.value_and_grad(loss, has_aux=True)(variables.params)
        updates, state = optimizer.update(gradients, state, variables.params)
        return Variables(optax.apply_updates(variables.params, updates), kept), state, {"loss": value, **metrics}

    return update


def train(
    method: LearnedMethod, data: Iterator[Batch], trained: Trained, first: int, last: int, update: Any
) -> Trained:
    """Updates number `first` to `last` - 1, with what happens at the beginning of a stage."""
    variables, state, metrics = trained.variables, trained.optimizer, list(trained.metrics)
    for step in range(first, last):
        if step > 0 and step in method.stages:
            variables = method.begin(method.stages.index(step), variables, data)
        variables, state, found = update(variables, state, next(data), jnp.int32(step))
        metrics.append({name: float(value) for name, value in found.items()})
    return Trained(variables, state, metrics)


def saved_and_restored(trained: Trained, path: Path) -> Trained:
    """Through a file, as a run that was interrupted."""
    leaves, structure = jax.tree.flatten((trained.variables, trained.optimizer))
    np.savez(path, *leaves)
    with np.load(path) as file:
        variables, optimizer = jax.tree.unflatten(structure, [jnp.asarray(file[name]) for name in file.files])
    return Trained(variables, optimizer, trained.metrics)


def expected(method: LearnedMethod, variables: Variables, clips: Batch, step: int, name: str, keys: int = 16) -> float:
    """The mean of a figure over the same `keys` random draws, so that two states differ by nothing else."""
    return float(_figures(method, name, variables, clips, jnp.int32(step), jax.random.split(jax.random.key(2), keys)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _figures(method: LearnedMethod, name: str, variables: Variables, clips: Batch, step: Any, keys: Any) -> Any:
    def figure(key: Any) -> Any:
        value, (metrics, _) = method.loss(variables, clips, key=key, step=step)
        return {"loss": value, **metrics}[name]

    return jax.lax.map(figure, keys).mean()


def mean_of(metrics: list[dict[str, float]], name: str) -> float:
    return float(np.mean([step[name] for step in metrics]))


def stirred(variables: Variables) -> Variables:
    """As after some training: fresh ones have output layers of zeros, so that nothing depends on the speaker."""
    return variables._replace(
        params=jax.tree.map(lambda x: x + 0.1 * jnp.sin(jnp.arange(x.size)).reshape(x.shape), variables.params)
    )
