"""The reference rows: what they promise about their reactions."""

import jax
import numpy as np
import pytest

from reactface_jax import metrics
from reactface_jax.errors import UserError
from reactface_jax.methods import (
    DelayedMirror,
    GroundTruth,
    Inputs,
    Linear,
    MeanFrame,
    MeanSequence,
    Mirror,
    NearestSegment,
    RandomDraws,
    RandomSegment,
    RandomUniform,
)

KEY = jax.random.key(0)
CHANNELS = 4


@pytest.fixture
def training() -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.standard_normal((12, 30, CHANNELS)) * [0.1, 0.2, 0.3, 0] + [3, 0, 1, 2]).astype(np.float32)


@pytest.fixture
def speaker() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((5, 40, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("kind", [Mirror, MeanSequence, MeanFrame, RandomDraws, RandomUniform, RandomSegment])
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


def test_the_other_kinds_of_random(training):
    speaker = np.zeros((3, 50, CHANNELS), np.float32)
    uniform = RandomUniform().fit(training).generate(Inputs(speaker), 40, key=KEY)
    lowest, highest = training.min((0, 1)), training.max((0, 1))
    assert (uniform >= lowest).all()
    assert (uniform <= highest).all()
    np.testing.assert_allclose(uniform.mean((0, 1, 2)), (lowest + highest) / 2, atol=0.03)

    reactions = RandomSegment().fit(training).generate(Inputs(speaker[:, :20]), 4, key=KEY)
    pieces = np.stack([clip[start : start + 20] for clip in training for start in range(11)])
    for reaction in reactions.reshape(-1, 20, CHANNELS):
        assert (reaction == pieces).all((1, 2)).any()
    assert np.any(reactions[0, 0] != reactions[0, 1])
    longer = RandomSegment().fit(training).generate(Inputs(speaker), 1, key=KEY)[0, 0]
    assert (longer[:30] == training).all((1, 2)).any()
    assert (longer[30:] == training[:, :20]).all((1, 2)).any()


@pytest.mark.parametrize("kind", [RandomDraws, RandomUniform, RandomSegment])
def test_random_answers_a_clip_the_same_whatever_else_is_asked(kind, training, speaker):
    method = kind().fit(training)
    np.testing.assert_array_equal(
        method.generate(Inputs(speaker), 2, key=KEY)[:3], method.generate(Inputs(speaker[:3]), 2, key=KEY)
    )
    assert (
        method.generate(Inputs(speaker), 2, key=KEY) != method.generate(Inputs(speaker), 2, key=jax.random.key(1))
    ).any()


@pytest.mark.parametrize("method", [RandomDraws(), RandomUniform(), RandomSegment(), MeanSequence(), MeanFrame()])
def test_untrained_methods_say_so(method, speaker):
    with pytest.raises(UserError, match=f"{method.name} has no training data"):
        method.generate(Inputs(speaker), 2, key=KEY)


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Speakers, voices of which bursts are heard, and listeners: a 7 frames old speaker, and the last burst."""
    generator = np.random.default_rng(3)
    speaker = np.cumsum(generator.standard_normal((12, 90, 3)), axis=1).astype(np.float32)
    loud = generator.random((12, 90)) < 0.2
    audio = (generator.standard_normal((12, 90, 640)) * np.where(loud, 1, 0.01)[..., None]).reshape(12, -1)
    listener = np.concatenate([speaker[:, :1].repeat(7, axis=1), speaker[:, :-7]], axis=1)
    listener[..., 2] = np.roll(loud, 3, axis=1)
    return speaker, audio.astype(np.float16), listener


def test_delayed_mirror_finds_its_delay(pairs):
    speaker, _, listener = pairs
    method = DelayedMirror().fit_to_pairs(Inputs(speaker[:8]), listener[:8])
    assert method.delay == 7
    reactions = method.generate(Inputs(speaker[8:]), 2, key=KEY)
    np.testing.assert_array_equal(reactions[:, 1, :, :2], listener[8:, :, :2])
    with pytest.raises(UserError, match="fit_to_pairs"):
        DelayedMirror().generate(Inputs(speaker), key=KEY)


def test_linear_sees_and_hears_the_last_second(pairs):
    speaker, audio, listener = pairs
    method = Linear().fit_to_pairs(Inputs(speaker[:8], audio[:8]), listener[:8])
    reactions = method.generate(Inputs(speaker[8:], audio[8:]), 2, key=KEY)
    assert reactions.shape == (4, 2, 90, 3)
    assert reactions.dtype == np.float32
    np.testing.assert_array_equal(reactions[:, 0], reactions[:, 1])
    for channel, least in ((0, 0.99), (2, 0.8)):
        real, made = listener[8:, 30:, channel], reactions[:, 0, 30:, channel]
        assert np.corrcoef(real.ravel(), made.ravel())[0, 1] > least
    short = method.generate(Inputs(speaker[8:, :40], audio[8:, : 40 * 640]), key=KEY)
    np.testing.assert_allclose(short, reactions[:, :1, :40], atol=1e-5)  # causal


@pytest.mark.parametrize("method", [DelayedMirror(), Linear(), NearestSegment()], ids=lambda method: method.name)
def test_a_face_that_was_lost_stays_as_it_was_seen_last(method, pairs):
    speaker, audio, listener = pairs
    lost, still = speaker.copy(), speaker.copy()
    lost[:, 10:14, 1] = np.nan
    still[:, 10:14] = speaker[:, 9:10]
    lost[0, :2], still[0, :2] = np.nan, speaker[0, 2]
    lost[1:, 20:], still[1:, 20:] = np.nan, speaker[1:, 19:20]  # longer than a segment
    answers = [
        method.fit_to_pairs(Inputs(seen, audio), listener).generate(Inputs(seen, audio), key=KEY)
        for seen in (lost, still)
    ]
    np.testing.assert_array_equal(*answers)
    assert np.isfinite(answers[0]).all()


def test_linear_that_heard_needs_the_sound(pairs):
    speaker, audio, listener = pairs
    with pytest.raises(UserError, match="fit_to_pairs"):
        Linear().generate(Inputs(speaker), key=KEY)
    deaf = Linear().fit_to_pairs(Inputs(speaker), listener)
    assert deaf.generate(Inputs(speaker), key=KEY).shape == (12, 1, 90, 3)
    with pytest.raises(UserError, match="fitted to 27 features, but sees 3; give the sound"):
        Linear().fit_to_pairs(Inputs(speaker, audio), listener).generate(Inputs(speaker), key=KEY)
