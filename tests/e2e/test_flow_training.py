"""LFI and Zhou et al. by the training loop: trained, stopped and resumed, validated, read again, answering."""

import dataclasses

import jax
import numpy as np
import pytest
from toy_training import LFI, ZHOU
from training_run import FRAMES, assert_same, configure, make_batch, make_clips, make_data

from reactface_jax.methods import Inputs
from reactface_jax.methods.trained import make_trained
from reactface_jax.training.loop import train
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")


def without_pictures(step: int = 0):
    return make_batch(step)._replace(video=np.zeros((2, FRAMES, 0, 0, 3), np.uint8))


@pytest.mark.long  # test_learned_training.py and test_code_rows.py have the loop with others
@pytest.mark.parametrize("name", ["lfi", "zhou"])
def test_two_steps_and_two_more_then_answers(tmp_path, name):
    config = configure("--method", name, "--train.steps", "4", "--train.eval-every", "4")
    config = dataclasses.replace(config, lfi=LFI, zhou=ZHOU)
    data = dataclasses.replace(make_data(without_pictures), validation_clips=make_clips)
    whole = train(config, tmp_path / "whole", data)
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2))
    train(half, tmp_path / "parts", data)
    assert_same(whole, train(config, tmp_path / "parts", data, resume=True))

    run = load_run(tmp_path / "parts", "best")  # the validation's
    method = make_trained(run.config, whole.variables, run.mean_face)
    batch = without_pictures()
    seen = Inputs(speaker=batch.speaker + run.mean_face, audio=batch.audio)
    reactions = method.answer(seen, 3, keys=jax.random.split(jax.random.key(0), 2))
    assert reactions.shape == (2, 3, FRAMES, 58)
    assert np.isfinite(reactions).all()
    assert np.any(reactions[:, 0] != reactions[:, 1]) == (name == "lfi")
