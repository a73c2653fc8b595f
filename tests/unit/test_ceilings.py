"""Reactions by the planted rule: what they keep of the script, and that they are what they are called."""

import numpy as np
import pytest

from data_pipeline.dyads import Recipe, play
from data_pipeline.dyads.ceilings import ceilings, draw, listening
from data_pipeline.dyads.channels import channels
from data_pipeline.dyads.scripts import Event, Script, Turn

SMILE = channels("mouthSmile")
SCRIPT = Script(
    150, (Turn(0, 0, 70), Turn(1, 70, 150)), ((Event("smile", 20, 20, 1.0, 1),), (Event("frown", 90, 20, 1.0, 1),))
)


def smiles(coefficients):
    return coefficients[..., SMILE].mean(-1)


@pytest.mark.parametrize("own", ["drawn", "known", "none"])
def test_speakers_events_are_answered_and_own_ones_are_as_asked(own):
    reactions = np.stack([draw(SCRIPT, 1, np.random.default_rng(seed), own) for seed in range(12)])
    assert (smiles(reactions)[:, 26:54].max(1) > 0.4).all(), "the speaker's smile, by any style"
    assert not smiles(reactions)[:, :26].any()
    frowns = reactions[:, 90:110, channels("browDown")].max((1, 2))
    jaw = reactions[:, 75:145, channels("mouthFunnel")].max((1, 2))
    if own == "known":
        assert (frowns > 0.5).all()
    elif own == "none":
        assert not frowns.any()
        assert not jaw.any(), "silent"
    else:
        assert 0 < (frowns > 0.5).sum() < 12
        assert (jaw > 0).all()


def test_ceilings_of_a_split():
    played = play(Recipe(num_clips=6, seconds=3, takes=2), "train", sound=False)
    found = ceilings(played.conversations, num_reactions=3, num_draws=4)
    count = len(played.speaker)
    assert found.sampler.shape == (count, 3, 75, 58)
    assert found.expectation.shape == found.other_take.shape == (count, 1, 75, 58)
    again = ceilings(played.conversations, num_reactions=3, num_draws=4)
    np.testing.assert_array_equal(found.sampler, again.sampler)
    for row in range(count):
        (other,) = np.flatnonzero(played.neighbours[row] & (np.arange(count) != row))
        np.testing.assert_array_equal(found.other_take[row, 0], played.listener[other])
        np.testing.assert_array_equal(found.expectation[row], found.expectation[other])
        assert not np.array_equal(found.sampler[row], found.sampler[other])
    assert not found.own_only[0, 1:].any()
    one_take = play(Recipe(num_clips=3, seconds=3, takes=1), "train", sound=False)
    assert ceilings(one_take.conversations, num_reactions=1, num_draws=1).other_take is None


def test_listening_frames_are_the_speakers_turns_moved():
    (conversation,) = play(Recipe(num_clips=3, seconds=6, takes=1), "train", sound=False).conversations
    mask = listening([conversation], delay=6)
    assert mask.shape == (2, 150)
    for role in (0, 1):
        expected = np.zeros(150, bool)
        for turn in conversation.script.turns:
            expected[turn.start + 6 : turn.end + 6] |= turn.role == role
        np.testing.assert_array_equal(mask[role], expected)
    assert not mask.all(0).any()
