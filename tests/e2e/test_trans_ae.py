"""Trans-AE: it learns by ReactFace's loop, resumes to the bit, and answers every clip with one reaction."""

import dataclasses
import functools
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_model
from toy_training import conversations
from training_run import assert_same, configure, make_batch, make_data, without_dropout

from reactface_jax import losses
from reactface_jax.errors import UserError
from reactface_jax.methods import Inputs
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.trained import make_trained
from reactface_jax.methods.trans_ae import TransAe, method
from reactface_jax.methods.trans_ae.network import TransAeNetwork
from reactface_jax.training.loop import train
from reactface_jax.training.methods import make_objective
from reactface_jax.types import NUM_EXPRESSION
from reactface_jax.weights.run import load_run

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")

HEARS_ONLY = ("--method", "trans-ae", "--model.no-use-video", "--trans-ae.num-layers", "1", "--train.eval-every", "50")


def without_pictures(step=0):
    return make_batch(step)._replace(video=np.zeros((2, 16, 0, 0, 3), np.uint8))


@pytest.mark.long
def test_it_learns_resumes_and_repeats_its_reaction(tmp_path, caplog):
    """F-Enc's gradient would be most of the compilation; here it only hears."""
    caplog.set_level(logging.INFO)
    config = without_dropout(configure(*HEARS_ONLY, "--train.steps", "20"))
    data = make_data(lambda step: without_pictures())
    data = dataclasses.replace(data, validation_batches=lambda: iter([without_pictures()]))
    whole = train(config, tmp_path / "whole", data)
    found = [float(number) for number in re.findall(r"step \d+/20  loss (\S+)", caplog.text)]
    assert found[-1] < 0.9 * found[0]
    assert "method trans-ae" in caplog.text
    train(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=10)), tmp_path / "parts", data)
    assert_same(whole, train(config, tmp_path / "parts", data, resume=True))

    run = load_run(tmp_path / "whole")
    method = make_trained(run.config, whole.variables, run.mean_face)
    assert method.name == "Trans-AE"
    assert method.needs == ("audio",)
    batch = without_pictures()
    reactions = method.answer(Inputs(audio=batch.audio), 3, keys=jax.random.split(jax.random.key(0), 2))
    assert reactions.shape == (2, 3, 16, 58)
    np.testing.assert_array_equal(reactions[:, 0], reactions[:, 2])
    assert np.ptp(reactions[:, 0], axis=1).max() > 1e-4

    # Its loss is the distance to the real listener, ten times that of the pose, and to the speaker himself.
    listener = reactions[:, 0] - run.mean_face
    difference = np.asarray(losses.smooth_l1(listener, batch.listener))
    expected = difference[..., :NUM_EXPRESSION].mean() + 10 * difference[..., NUM_EXPRESSION:].mean()
    metrics = make_objective(config).gradient(whole.variables, batch, jax.random.key(0), jnp.int32(0))[0]
    np.testing.assert_allclose(metrics["reconstruction"], expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], metrics["reconstruction"] + metrics["speaker"], rtol=1e-5)


def test_with_pictures_it_has_reactfaces_encoder():
    shapes = jax.eval_shape(TransAe(configure("--method", "trans-ae")).init, jax.random.key(0)).params
    reactface = jax.eval_shape(make_objective(configure()).init, jax.random.key(0)).params
    assert jax.tree.map(np.shape, shapes["speaker_encoder"]) == jax.tree.map(np.shape, reactface["speaker_encoder"])
    assert sorted(shapes) == ["layer_0", "layer_1", "listener_map", "speaker_encoder"]


def test_in_use_f_enc_takes_64_frames_at_a_time_and_answers_the_same(monkeypatch):
    """As ReactFace: if `model.video_chunk` says nothing. Training keeps the whole clip's maps then."""
    made = []

    def network(config, num_layers):
        made.append(config.video_chunk)
        return TransAeNetwork(config, num_layers)

    monkeypatch.setattr(method, "TransAeNetwork", network)
    words = ("--method", "trans-ae", "--trans-ae.num-layers", "1", "--model.video-grid", "2")
    row = TransAe(without_dropout(configure(*words, "--data.image-size", "16")))
    variables = Variables(small_model.drawn(jax.eval_shape(row.init, jax.random.key(0)).params), {})
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (1, 70, 16, 16, 3)).astype(np.uint8)
    inputs = Inputs(video=video, audio=rng.standard_normal((1, 70 * 640)).astype(np.float32))
    keys = jax.random.split(jax.random.key(0), 1)
    made.clear()
    answers = []
    for chunk, expected in ((0, 64), (16, 16), (128, 128)):
        model = dataclasses.replace(row.config.model, video_chunk=chunk)
        chunked = TransAe(dataclasses.replace(row.config, model=model))
        answers.append(jax.jit(functools.partial(chunked.answer, num_reactions=1, keys=keys))(variables, inputs))
        assert made.pop() == expected
        assert not made
    for other in answers[:2]:
        np.testing.assert_allclose(other, answers[2], atol=1e-5)
    batch = conversations(0, 1, 16, image=16)
    jax.eval_shape(functools.partial(row.loss, key=keys[0], step=jnp.int32(0)), variables, batch)
    assert made == [0]


def test_mistakes():
    with pytest.raises(UserError, match=r"--model.causal is not for trans-ae"):
        TransAe(configure("--method", "trans-ae", "--model.causal"))
    with pytest.raises(UserError, match=r"--optimizer.frozen encoder7 matches no parameter"):
        make_objective(configure(*HEARS_ONLY, "--optimizer.frozen", "encoder7"))
