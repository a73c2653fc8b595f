"""The reference rows: what they promise about their reactions."""

import jax
import numpy as np
import pytest

from reactface_jax import metrics
from reactface_jax.errors import UserError
from reactface_jax.methods import GroundTruth, Inputs, MeanFrame, MeanSequence, Mirror, RandomDraws

KEY = jax.random.key(0)
CHANNELS = 4


@pytest.fixture
def training() -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.standard_normal((12, 30, CHANNELS)) * [0.1, 0.2, 0.3, 0] + [3, 0, 1, 2]).astype(np.float32)


@pytest.fixture
def speaker() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((5, 40, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("kind", [Mirror, MeanSequence, MeanFrame, RandomDraws])
def test_shape_and_type(kind, training, speaker):
    method = kind().fit(training)
    reactions = method.generate(Inputs(speaker), 3, key=KEY)
    assert reactions.shape == (5, 3, 40, CHANNELS)
    assert reactions.dtype == np.float32


def test_ground_truth_and_mirror_repeat_a_real_person(speaker, training):
    listener = speaker + 1
    for reactions, expected in (
        (GroundTruth(listener).fit(training).generate(Inputs(speaker), 2, key=KEY), listener),
        (Mirror().fit(training).generate(Inputs(speaker), 2, key=KEY), speaker),
    ):
        np.testing.assert_array_equal(reactions[:, 0], expected)
        np.testing.assert_array_equal(reactions[:, 1], expected)


def test_means(training, speaker):
    still = MeanFrame().fit(training).generate(Inputs(speaker), 2, key=KEY)
    np.testing.assert_allclose(still[3, 1, 7], training.mean((0, 1)), rtol=1e-5)
    assert np.ptp(still, axis=2).max() == 0
    moving = MeanSequence().fit(training).generate(Inputs(speaker), 2, key=KEY)
    np.testing.assert_allclose(moving[3, 1, :30], training.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(moving[3, 1, 30:], np.tile(moving[3, 1, 29], (10, 1)))
    np.testing.assert_array_equal(
        MeanSequence().fit(training).generate(Inputs(speaker[:, :9]), 2, key=KEY), moving[:, :, :9]
    )


def test_random_has_the_moments_of_the_training_listeners(training):
    speaker = np.zeros((20, 200, CHANNELS), np.float32)
    reactions = RandomDraws().fit(training).generate(Inputs(speaker), 4, key=KEY)
    np.testing.assert_allclose(reactions.mean((0, 1, 2)), training.mean((0, 1)), atol=0.01)
    np.testing.assert_allclose(reactions.std((0, 1, 2)), training.std((0, 1)), atol=0.01)
    listener = np.random.default_rng(2).standard_normal(speaker.shape).astype(np.float32)
    scores = metrics.compute(reactions, listener, listener, np.eye(20))
    variance = training.var((0, 1)).mean()
    assert scores["FRVar"] == pytest.approx(variance, rel=0.03)
    assert scores["FRDiv"] == pytest.approx(2 * variance, rel=0.03)
    assert scores["FRDvs"] == pytest.approx(2 * variance, rel=0.03)


def test_random_answers_a_clip_the_same_whatever_else_is_asked(training, speaker):
    method = RandomDraws().fit(training)
    np.testing.assert_array_equal(
        method.generate(Inputs(speaker), 2, key=KEY)[:3], method.generate(Inputs(speaker[:3]), 2, key=KEY)
    )
    assert (
        method.generate(Inputs(speaker), 2, key=KEY) != method.generate(Inputs(speaker), 2, key=jax.random.key(1))
    ).any()


@pytest.mark.parametrize("method", [RandomDraws(), MeanSequence(), MeanFrame()])
def test_untrained_methods_say_so(method, speaker):
    with pytest.raises(UserError, match=f"{method.name} has no training data"):
        method.generate(Inputs(speaker), 2, key=KEY)
