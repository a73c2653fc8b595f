"""Varied people: what differs between them, and that the planted answers are still there."""

import numpy as np
import pytest

from data_pipeline.dyads import Recipe, play
from data_pipeline.dyads.ceilings import draw
from data_pipeline.dyads.channels import alike_on_both_sides, channels
from data_pipeline.dyads.conversations import plan, truth
from data_pipeline.dyads.scripts import Event, Script, Turn
from data_pipeline.dyads.variation import blinks, gaze, idle, sample_variation, talking_head, tracked
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.types import NUM_COEFFICIENTS

SMILE = channels("mouthSmile")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def person(rng):
    return sample_variation(rng)


def test_both_sides_are_alike():
    values = np.arange(58.0)
    mirrored = alike_on_both_sides(values)
    left, right = channels("mouthSmile")
    assert (COEFFICIENT_NAMES[left], COEFFICIENT_NAMES[right]) == ("mouthSmileLeft", "mouthSmileRight")
    assert mirrored[left] == mirrored[right] == left
    jaw = COEFFICIENT_NAMES.index("jawLeft"), COEFFICIENT_NAMES.index("jawOpen")
    assert mirrored[jaw[1]] == jaw[1]


def test_people_differ_in_rest_gain_and_sides(rng):
    people = [sample_variation(rng) for _ in range(300)]
    rests = np.stack([person.rest for person in people])[:, :52]
    on = (rests > 0.05).mean(1)
    assert 0.1 < on.mean() < 0.3, "of two recorded people's expressions 21 and 23 % were above .05 at rest"
    assert rests.max() < 0.55
    left, right = (np.array([person.gain[i] for person in people]) for i in SMILE)
    assert 0.1 < np.log(left).std() < 0.4
    assert 0.1 < np.log(left / right).std() < 0.3
    assert np.corrcoef(np.log(left), np.log(right))[0, 1] > 0.5


def test_a_tracker_adds_rest_gain_and_noise(rng, person):
    face = np.zeros(NUM_COEFFICIENTS)
    performance = np.zeros((4000, NUM_COEFFICIENTS))
    performance[::2, SMILE] = 0.5
    seen = tracked(performance, face, person, rng)
    np.testing.assert_allclose(seen[1::2].mean(0), person.rest, atol=0.02)
    np.testing.assert_allclose((seen[::2] - seen[1::2])[:, SMILE].mean(0), 0.5 * person.gain[SMILE], atol=0.01)
    still = np.diff(seen, axis=0)[:, 57].std()
    assert still == pytest.approx(np.sqrt(2) * person.quick[57], rel=0.2)


def test_blinks_have_the_rates_of_the_literature(rng):
    people = [sample_variation(rng) for _ in range(60)]
    for talks, rate in ((0, 17), (1, 26)):
        lids = np.stack([blinks(np.full(3000, talks), person, rng) for person in people])
        counted = ((lids[:, 1:] > 0.5) & (lids[:, :-1] <= 0.5)).sum(1) / 2  # in two minutes
        expected = rate * np.mean([person.blinking for person in people])
        assert counted.mean() == pytest.approx(expected, rel=0.12)
    assert lids.max() <= 1


def test_gaze_is_averted_more_by_who_talks(rng):
    for talks, share in ((0, 0.75), (1, 0.41)):
        away = np.concatenate([np.abs(gaze(np.full(3000, talks), rng)[:, 0]) > 0 for _ in range(20)])
        assert 1 - away.mean() == pytest.approx(share, abs=0.06)


def test_a_talking_head_moves_in_its_bands(rng):
    moving = talking_head(np.ones(5000), rng)[50:-50, 0]
    power = np.abs(np.fft.rfft(moving)) ** 2
    frequency = np.fft.rfftfreq(len(moving), 1 / 25)
    assert power[(frequency > 0.15) & (frequency < 3.8)].sum() / power[1:].sum() > 0.95
    assert moving.std() == pytest.approx(np.hypot(0.035, 0.012), rel=0.1)
    assert not talking_head(np.zeros(100), rng).any()
    assert idle(20_000, rng).std(0) == pytest.approx(1, rel=0.15)


def test_silent_listeners_answer_with_the_mouth_shut(rng):
    event = Event("smile", 20, 20, 1.0, 1)
    script = Script(80, (Turn(0, 0, 80),), ((event,), ()))
    varied = np.stack([draw(script, 1, rng, "none", varied=True) for _ in range(20)])
    risen = varied[:, 30:50, SMILE].mean(-1).max(1) - varied[:, 5:25, SMILE].mean((1, 2))
    assert np.median(risen) > 0.4
    jaw = varied[:, :, channels("jawOpen")[0]]
    assert np.abs(jaw - np.median(jaw, axis=1, keepdims=True)).max() < 0.2
    plain = draw(script, 1, rng, "none")
    assert plain[:, channels("jawOpen")[0]].max() > 0.08, "plain people show their teeth"


def test_varied_recipes_are_their_own_and_plain_ones_stay():
    plain, varied = (play(Recipe(num_clips=3, seconds=3, people=people), sound=False) for people in ("plain", "varied"))
    assert (plain.speaker.std(1) == 0).any(1).all()
    expressions = varied.speaker[..., :52]
    assert expressions.min() >= 0
    assert expressions.max() <= 1
    again = play(Recipe(num_clips=3, seconds=3, people="varied"), sound=False)
    np.testing.assert_array_equal(varied.speaker, again.speaker)
    assert plain.conversations[0].script == varied.conversations[0].script
    recipe = Recipe(num_clips=3, seconds=3, people="varied")
    assert truth(recipe, plan(recipe))["version"] == 2
