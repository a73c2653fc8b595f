"""Ng et al., BeLFusion and Trans-VAE go through the training loop: two parts are the whole, and the run answers."""

import dataclasses

import jax
import numpy as np
import pytest
from toy_training import conversations
from training_run import assert_same, configure, make_data

from reactface_jax.methods import Inputs
from reactface_jax.methods.trained import make_trained
from reactface_jax.training.loop import train
from reactface_jax.types import Batch
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")

SMALL = {
    "ng": (
        "width=8 num-heads=2 num-layers=1 feed-forward=8 num-codes=8 token-width=8 speaker-width=8 predictor-heads=2 "
        "predictor-feed-forward=8 speaker-layers=1 predictor-layers=1 vqvae-steps=2 statistics-batches=1",
        64,
        0,
    ),
    "belfusion": (
        "window=10 width=8 mlp-width=8 denoiser-width=16 denoiser-layers=2 time-width=4 draws=2 vae-steps=2 "
        "statistics-batches=1",
        20,
        0,
    ),
    "trans-vae": ("feature-dim=8", 8, 32),
}


@pytest.mark.parametrize(
    "name", ["belfusion", pytest.param("ng", marks=pytest.mark.long), pytest.param("trans-vae", marks=pytest.mark.long)]
)
def test_two_parts_are_the_whole_and_the_run_answers(tmp_path, name) -> None:
    """The second stage begins where the run was cut."""
    fields, frames, image = SMALL[name]

    def make_batch(step: int) -> Batch:
        return jax.tree.map(np.asarray, conversations(step, 2, frames, image))

    sizes = [word for field in fields.split() for word in f"--{name}.{field}".split("=")]
    words = ("--method", name, "--data.clip-frames", str(frames), *sizes)
    data = make_data(make_batch)
    data = dataclasses.replace(data, validation_batches=lambda: iter([make_batch(9)]))
    whole = train(configure(*words, "--train.steps", "4"), tmp_path / "whole", data)
    train(configure(*words, "--train.steps", "2"), tmp_path / "parts", data)
    assert_same(whole, train(configure(*words, "--train.steps", "4"), tmp_path / "parts", data, resume=True))

    run = load_run(tmp_path / "whole")
    method = make_trained(run.config, whole.variables, run.mean_face)
    batch = make_batch(5)
    inputs = Inputs(speaker=batch.speaker + run.mean_face, audio=batch.audio, video=batch.video)
    reactions = method.generate(inputs, 3, key=jax.random.key(0))
    assert reactions.shape == (2, 3, frames, 58)
    assert np.isfinite(reactions).all()
