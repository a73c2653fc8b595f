"""Trains the listener on speakers with several appropriate listeners each (one to many)."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, Shaped

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.files import make_folder
from reactface_jax.methods.listener import drawing, motion_space, speaker_features
from reactface_jax.methods.listener.augmentation import augment
from reactface_jax.methods.listener.config import ListenerConfig, ListenerTraining
from reactface_jax.methods.listener.motion_space import MotionSpace, in_chunks
from reactface_jax.methods.listener.network import ListenerNetwork
from reactface_jax.methods.listener.training_state import STATE_FILE, Fixed, known_by, restore_state, save_state
from reactface_jax.methods.listener.weights import NAME, Weights, save_weights


class ListeningData(NamedTuple):
    """Directions of conversations, each with a speaker in one or more forms and listeners who answer one of them."""

    speaker: Shaped[np.ndarray, "N V T C"]
    """Raw coefficients."""
    sound: Shaped[np.ndarray, "N T F"]
    """Log-mel energies (sound.py)."""
    listener: Shaped[np.ndarray, "N M T C"]
    person: Int[np.ndarray, "N M"]
    """Who listens: clips of the same number are of the same person, or of the same style."""
    form: Int[np.ndarray, " M"]
    """Which form of the speaker each listener answers."""
    talks: Int[np.ndarray, " M"]
    """1 where the listener takes the floor at times."""


class Rows(NamedTuple):
    """Which clips a step sees. S steps."""

    direction: Int[Array, "S B"]
    listener: Int[Array, "S B"]
    style_direction: Int[Array, "S B"]
    style_listener: Int[Array, "S B"]


class State(NamedTuple):
    """All that changes."""

    params: PyTree
    average: PyTree
    optimizer: optax.OptState
    step: Int[Array, ""]


def make_optimizer(config: ListenerTraining) -> optax.GradientTransformation:
    """AdamW with clipped gradients; each cycle warms up and decays by a cosine, from .7 of the one before."""
    length = config.steps // config.cycles
    rates = [
        optax.warmup_cosine_decay_schedule(0.0, config.learning_rate * 0.7**i, config.warmup_steps, length, 1e-5)
        for i in range(config.cycles)
    ]
    rate = optax.join_schedules(rates, [length * i for i in range(1, config.cycles)])
    decay = functools.partial(jax.tree.map, lambda leaf: leaf.ndim > 1)
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.99, weight_decay=config.weight_decay, mask=decay)
    )


def rows(data: ListeningData, config: ListenerTraining, start: int, count: int) -> Rows:
    """Random clips; a step's depend on the seed and its number only."""
    directions, listeners = data.person.shape
    people = {int(p): np.argwhere(data.person == p) for p in np.unique(data.person)}
    chosen = []
    for step in range(start, start + count):
        rng = np.random.default_rng((config.seed, step))
        n, m = rng.integers(directions, size=config.batch_size), rng.integers(listeners, size=config.batch_size)
        alike = [people[int(p)] for p in data.person[n, m]]
        style = np.stack([group[rng.integers(len(group))] for group in alike], axis=1)
        chosen.append((n, m, *style))
    return Rows(*(jnp.asarray(np.stack(part).astype(np.int32)) for part in zip(*chosen, strict=True)))


def fit_space(
    data: ListeningData, components: int, clips: int = 2000
) -> tuple[MotionSpace, Float[np.ndarray, "N M C"]]:
    """The motion space of the listeners, and each of them at rest."""
    rests = np.stack([motion_space.rest_of(part.astype(np.float32)) for part in data.listener])
    flat = data.listener.reshape(-1, *data.listener.shape[2:])
    some = np.random.default_rng(0).permutation(len(flat))[:clips]
    deviations = flat[some].astype(np.float32) - rests.reshape(-1, rests.shape[-1])[some, None]
    talks = np.repeat(np.tile(np.asarray(data.talks, bool), len(data.listener))[some], deviations.shape[1])
    return motion_space.fit(deviations.reshape(-1, deviations.shape[-1]), components, talks), rests


def train(
    config: ListenerConfig,
    data: ListeningData,
    out: Path,
    report: Callable[[str], None] = print,
    block: int = 50,
    stop_after: int | None = None,
    names: tuple[str, ...] = COEFFICIENT_NAMES,
    anew: bool = False,
) -> Path:
    """Trains, or goes on where an interrupted training stopped.

    Args:
        config: sizes and optimisation.
        data: to learn from.
        out: folder of the weights (listener.safetensors) and of the training's own state.
        report: takes a line of the log.
        block: steps compiled together, between lines of the log.
        stop_after: stops after this step (to go on later).
        names: of the coefficients.
        anew: start at step 0 whatever training the folder holds; its files stay until there are others to take their
            place.

    Returns:
        The weights' file.

    Raises:
        UserError: the folder's training is of another network, configuration or data, or damaged; the clips are
            shorter than a chunk; the listeners move in too few channels; a loss is not finite, and then what was saved
            before stays.
    """
    make_folder(out)
    frames = data.listener.shape[2]
    if frames < config.model.chunk:
        raise UserError(
            f"the clips have {frames} frames, fewer than model.chunk {config.model.chunk}; give longer ones, or a "
            "smaller --model.chunk"
        )
    space, rests = fit_space(data, config.model.components)
    network: Any = ListenerNetwork(config.model)
    state = init(config, network, make_optimizer(config.train))
    saved, fixed = out / STATE_FILE, Fixed(config, space, known_by(data._asdict()))
    if saved.is_file() and not anew:
        state, learnt_in = restore_state(saved, state, fixed)
        report(f"goes on from step {int(state.step)}")
        if learnt_in is None:
            report(f"{saved} is of an older version and does not say of which configuration and data: keep them")
        else:
            # Fitted to the same data on another processor, a component may come out as another one.
            space, fixed = learnt_in, fixed._replace(space=learnt_in)
    arrays = jax.tree.map(jnp.asarray, (data, rests, space))
    drawn = not config.data.dir  # a shard set's speakers have been measured already
    started, first = time.perf_counter(), int(state.step)
    last = min(config.train.steps, stop_after or config.train.steps)
    while (step := int(state.step)) < last:
        count = min(block, last - step)
        chosen = rows(data, config.train, step, count)
        state, losses = _steps(network, config.train, drawn, state, chosen, *arrays)
        _require_finite(step, losses, state.average)
        step += count
        values = ", ".join(f"{name} {float(value.mean()):.4f}" for name, value in losses.items())
        seconds = time.perf_counter() - started
        report(f"step {step}: {values}, {seconds:.0f} s, {(step - first) / seconds:.1f} steps a second")
        if step % (4 * block) == 0 or step == last:
            # The state last: a training that is killed between the two goes on from the one before, and writes both.
            save_weights(out / NAME, finish(config, network, state, data, rests, space)._replace(names=names))
            save_state(saved, state, fixed)
    return out / NAME


def init(config: ListenerConfig, network: Any, optimizer: optax.GradientTransformation) -> State:
    """The state before the first step."""
    sizes = config.model
    features = jnp.zeros((1, sizes.chunk, speaker_features.NUM_FEATURES), jnp.float32)
    past = jnp.zeros((1, 1, sizes.chunk * sizes.components), jnp.float32)
    last = jnp.zeros((1, 1, sizes.components), jnp.float32)
    params = _draw(network, jax.random.key(config.train.seed), features, past, last)["params"]
    return State(params, jax.tree.map(jnp.copy, params), optimizer.init(params), jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnums=0)
def _draw(network: Any, key: Array, *inputs: Array) -> PyTree:
    return network.init(key, *inputs, method="everything")


def finish(
    config: ListenerConfig,
    network: Any,
    state: State,
    data: ListeningData,
    rests: Float[np.ndarray, "N M C"],
    space: MotionSpace,
) -> Weights:
    """What is kept of a training: averaged parameters, the motion space, some styles and some faces at rest."""
    rng = np.random.default_rng(config.train.seed)
    some = (
        rng.integers(data.person.shape[0], size=config.model.num_styles),
        rng.integers(data.person.shape[1], size=config.model.num_styles),
    )
    clips = data.listener[some].astype(np.float32) - rests[some][:, None]
    chunks = in_chunks(jnp.asarray(clips @ space.encode), config.model.chunk)
    styles = network.apply({"params": state.average}, chunks, method="style")
    past_noise = config.train.past_noise
    return Weights(config.model, state.average, space, np.asarray(styles), rests[some], past_noise=past_noise)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _steps(
    network: Any,
    config: ListenerTraining,
    drawn: bool,
    state: State,
    rows: Rows,
    data: ListeningData,
    rests: Array,
    space: MotionSpace,
) -> tuple[State, dict[str, Array]]:
    optimizer = make_optimizer(config)

    def step(state: State, rows: Rows) -> tuple[State, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        loss = functools.partial(_loss, network, config, drawn)
        (_, parts), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, key, rows, data, rests, space)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        keep = jnp.minimum(config.average, (1 + state.step) / (10 + state.step))
        average = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, state.average, params)
        return State(params, average, optimizer_state, state.step + 1), parts

    return jax.lax.scan(step, state, rows)


def _loss(
    network: Any,
    config: ListenerTraining,
    drawn: bool,
    params: PyTree,
    key: Array,
    rows: Rows,
    data: ListeningData,
    rests: Array,
    space: MotionSpace,
) -> tuple[Array, dict[str, Array]]:
    variables, chunk = {"params": params}, network.sizes.chunk
    keys = iter(jax.random.split(key, 8))
    batch = rows.direction.shape[0]
    coefficients = data.speaker[rows.direction, data.form[rows.listener]].astype(jnp.float32)
    bands = data.sound[rows.direction].astype(jnp.float32)
    coefficients, bands = augment(next(keys), coefficients, bands, drawn)
    heard = (jax.random.uniform(next(keys), (batch,)) >= config.drop_sound).astype(jnp.float32)
    frames = coefficients.shape[1] // chunk * chunk
    _, features = speaker_features.observe(
        speaker_features.start(batch), coefficients[:, :frames], bands[:, :frames], heard, space.scale
    )
    features = jax.lax.stop_gradient(features)
    talks = data.talks[rows.listener].astype(jnp.float32)
    speaker, _ = network.apply(variables, features, network.start_speaker(batch), method="speaker")
    target = _chunks(data, rests, space, rows.direction, rows.listener, chunk)  # B N FR
    style = network.apply(
        variables, _chunks(data, rests, space, rows.style_direction, rows.style_listener, chunk), method="style"
    )
    style = style + 0.1 * jax.random.normal(next(keys), style.shape)

    expected, _ = network.apply(variables, speaker, talks, network.start_ahead(batch), method="expectation")
    missing = (expected - target).reshape(batch, frames, -1)  # B T R
    mean_loss, change_loss = (
        (space.weight[None, None] * jnp.square(error)).mean() for error in (missing, jnp.diff(missing, axis=1))
    )

    seen = (jax.random.uniform(next(keys), (batch, 1, 1)) >= config.drop_speaker).astype(jnp.float32)
    level = config.past_noise * jax.random.uniform(next(keys), (batch,)) ** 2
    past = jnp.pad(target, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    past = past + level[:, None, None] * jax.random.normal(next(keys), past.shape)
    condition, _ = network.apply(
        variables,
        (speaker * seen)[:, None],
        past[:, None],
        network.start_own(batch, 1),
        style[:, None],
        talks,
        level,
        method="condition",
    )
    last = past[:, None, :, -network.sizes.components :]
    weight = jnp.tile(space.weight, chunk)
    draw_loss = drawing.loss(network, params, next(keys), target[:, None], condition, last, weight, config.draws)
    loss = draw_loss + 0.5 * (mean_loss + config.change_weight * change_loss)
    return loss, {"draw": draw_loss, "mean": mean_loss, "change": change_loss}


def _chunks(
    data: ListeningData, rests: Array, space: MotionSpace, direction: Array, listener: Array, chunk: int
) -> Float[Array, "B N FR"]:
    clip = data.listener[direction, listener].astype(jnp.float32)
    return in_chunks((clip - rests[direction, listener][:, None]) @ space.encode, chunk)


def _require_finite(before: int, losses: dict[str, Float[Array, " S"]], average: PyTree) -> None:
    """Raises `UserError` unless all losses of S steps are finite, and the averaged parameters after the last one.

    Args:
        before: steps made before these.
        losses: of each step.
        average: after them; a gradient that is not finite shows in it before it shows in a loss.
    """
    finite = np.logical_and.reduce([np.isfinite(values) for values in losses.values()])
    finite[-1] &= all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(average))
    if not finite.all():
        raise UserError(
            f"the training diverged at step {before + 1 + int(finite.argmin())}; what it saved before is as it was: "
            "give a lower --train.learning-rate"
        )
