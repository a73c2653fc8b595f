"""How much Ng et al.'s reactions jump every 32 frames, in the release's form and where a code is a time step.

A listener nods at one pace, ten frames after the speaker, so that a small network learns all there is. Both forms are
trained alike; printed is the mean absolute change at block borders by that elsewhere, of generated reactions and of the
real listener (1 where nothing jumps), with codes drawn one by one and a block at once.

    python benchmarks/ng_jump.py
    python benchmarks/ng_jump.py --run runs/table/ng

With --run the same of a trained run, on the test split of its data.
"""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from reactface_jax.config.ng import NgConfig
from reactface_jax.evaluation.known_split import know_split
from reactface_jax.evaluation.split import SplitPeople
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.method import Inputs
from reactface_jax.methods.ng.ng import WINDOW, Ng
from reactface_jax.methods.ng.vqvae import FRAMES, FRAMES_A_CODE
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.trained import make_trained
from reactface_jax.metrics.movement import border_step
from reactface_jax.shard_set import open_shards
from reactface_jax.types import SAMPLES_PER_FRAME, Batch
from reactface_jax.weights.run import load_run

PERIOD = 40
DELAY = 10
CONFIG = NgConfig(
    width=32,
    num_heads=4,
    num_layers=1,
    feed_forward=64,
    num_codes=48,
    token_width=32,
    speaker_width=32,
    predictor_heads=4,
    predictor_feed_forward=64,
    speaker_layers=1,
    predictor_layers=1,
    vqvae_steps=600,
    vqvae_rate=0.25,
    predictor_rate=0.2,
    warmup_steps=50,
    statistics_batches=2,
)


def nods(rng: np.random.Generator, clips: int, frames: int) -> Batch:
    """Speakers who nod, from any moment on, and their listeners."""
    angle = 2 * np.pi * (np.arange(-DELAY, frames)[None] / PERIOD + rng.random((clips, 1)))
    mix = np.random.default_rng(0).standard_normal((2, 58))
    motion = (np.stack([np.sin(angle), np.cos(angle)], -1) @ mix).astype(np.float32)
    return Batch(
        video=np.zeros((clips, frames, 0, 0, 3), np.uint8),
        audio=rng.standard_normal((clips, frames * SAMPLES_PER_FRAME)).astype(np.float32),
        speaker=motion[:, DELAY:],
        listener=motion[:, :-DELAY],
        neighbours=motion[:, None, :-DELAY],
        neighbour_mask=np.ones((clips, 1), bool),
        clip=np.arange(clips),
    )


def endless(clips: int, frames: int) -> Iterator[Batch]:
    """Training clips."""
    rng = np.random.default_rng(1)
    while True:
        yield nods(rng, clips, frames)


def trained(method: Ng, steps: int, batch_size: int = 8) -> tuple[Variables, dict[str, float]]:
    """A whole training, and the last step's figures."""
    data = endless(batch_size, WINDOW)
    optimizer = method.optimizer()
    variables = method.begin(0, jax.jit(method.init)(jax.random.key(0)), data)
    state = optimizer.init(variables.params)

    @jax.jit
    def update(variables: Variables, state: optax.OptState, batch: Batch, step: jax.Array):
        def loss(params):
            key = jax.random.fold_in(jax.random.key(1), step)
            return method.loss(Variables(params, variables.state), batch, key=key, step=step)

        (_, (metrics, kept)), gradients = jax.value_and_grad(loss, has_aux=True)(variables.params)
        updates, state = optimizer.update(gradients, state, variables.params)
        return Variables(optax.apply_updates(variables.params, updates), kept), state, metrics

    figures = {}
    for step in range(steps):
        variables, state, metrics = update(variables, state, next(data), jnp.int32(step))
        if step in (method.stages[1] - 1, steps - 1):
            figures |= {name: float(value) for name, value in metrics.items() if value > 0}
    return variables, figures


def jump(method: Ng, variables: Variables, clips: int = 8, frames: int = 5 * FRAMES) -> tuple[float, float]:
    """Change at borders by change elsewhere: of reactions, and of the real listeners."""
    batch = nods(np.random.default_rng(2), clips, frames)
    answer = jax.jit(functools.partial(method.answer, num_reactions=2), static_argnames="num_reactions")
    keys = jax.random.split(jax.random.key(3), clips)
    reactions = answer(variables, Inputs(speaker=jnp.asarray(batch.speaker), audio=jnp.asarray(batch.audio)), keys=keys)
    # The first block has no past: what comes after it is measured.
    real = border_step(batch.listener[:, None, FRAMES // 2 :], FRAMES)
    return border_step(np.asarray(reactions), FRAMES).value(), real.value()


def jump_of_run(folder: Path) -> None:
    """Prints the change at borders by that elsewhere, of a trained run."""
    run = load_run(folder)
    method = make_trained(run.config, Variables(run.params, run.method_state), run.mean_face)
    assert isinstance(method, Ready)
    people = SplitPeople(open_shards(run.config.data.dir), "test", run.config.data.eval_frames)
    inputs = know_split(people.shards, "test", people.clips, FRAMES, None).inputs
    reactions = method.generate(inputs, 2, key=jax.random.key(0))
    for frames, what in ((FRAMES, "blocks"), (FRAMES_A_CODE, "codes")):
        ours, real = (border_step(each, frames).value() for each in (reactions, people.clips.listener[:, None]))
        print(f"borders of {what}, every {frames} frames: {ours:.2f} (real listeners {real:.2f})", flush=True)


def main(steps: int = 1000, run: Path | None = None) -> None:
    """Both forms, or a run."""
    if run is not None:
        return jump_of_run(run)
    for released in (False, True):
        method = Ng(dataclasses.replace(CONFIG, released=released))
        variables, figures = trained(method, steps)
        for draw in ("code", "block"):
            drawing = Ng(dataclasses.replace(method.config, draw=draw))
            reactions, real = jump(drawing, variables)
            print(f"released {released}, {draw}: {reactions:.2f} (real listeners {real:.2f}), {figures}", flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
