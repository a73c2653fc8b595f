"""Made conversations for a listener that learns: who answers whom, and with what."""

import numpy as np
import pytest

from data_pipeline.dyads.channels import channels
from data_pipeline.dyads.listening_pairs import FORM, TALKS, make_pairs
from data_pipeline.dyads.scripts import add_silent_events, redraw, write_script
from reactface_jax.errors import UserError
from reactface_jax.methods.listener.config import ListenerConfig, ListenerData
from reactface_jax.methods.listener.training_data import choose_neighbours, listening_data, train_listener


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs") / "pairs.npz"


@pytest.fixture(scope="module")
def pairs(cache):
    return make_pairs(2, seconds=6.0, seed=3, cache=cache)


def test_a_script_is_played_from_both_sides(pairs):
    assert pairs.speaker.shape == (4, 2, 150, 58)
    assert pairs.listener.shape == (4, len(FORM), 150, 58)
    assert pairs.sound.shape == (4, 150, 24)
    again = make_pairs(1, seconds=6.0, seed=3)
    for whole, part in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(whole[:2], part)


def test_who_only_listens_does_not_speak(pairs):
    stretched = pairs.listener[..., channels("mouthStretch")].max(axis=(0, 2, 3))
    assert (stretched[TALKS == 0] == 0).all()
    assert (stretched[TALKS == 1] > 0).any()


def test_the_same_voice_and_turns_in_both_forms(pairs):
    # The mouth follows the voice in both; what differs are answers and silent events.
    mouth = pairs.speaker[..., channels("mouthStretch")]
    np.testing.assert_array_equal(mouth[:, 0], mouth[:, 1])


def test_a_configuration_names_them(pairs, cache):
    data = listening_data(ListenerData(cache=str(cache)))
    np.testing.assert_array_equal(data.listener, pairs.listener)
    assert data.form.tolist() == [0, 0, 0, 0, 1, 1]


def test_a_training_is_neither_lost_nor_mixed_with_another(cache, tmp_path):
    (tmp_path / "training_state.npz").write_bytes(b"")
    config = ListenerConfig(data=ListenerData(cache=str(cache)))
    with pytest.raises(UserError, match="holds a training already"):
        train_listener(config, tmp_path)
    with pytest.raises(UserError, match="exclude each other"):
        train_listener(config, tmp_path, resume=True, overwrite=True)


def test_a_script_redrawn_keeps_turns_and_the_other_person():
    script = write_script(np.random.default_rng(0), 750)
    redrawn = redraw(script, 1, np.random.default_rng(1))
    assert redrawn.turns == script.turns
    assert redrawn.events[0] == script.events[0]
    assert redrawn.events[1] != script.events[1]


def test_silent_events_lie_in_the_other_persons_turns():
    script = write_script(np.random.default_rng(0), 750)
    added = set(add_silent_events(script, 0, np.random.default_rng(1)).events[0]) - set(script.events[0])
    assert added
    listening = [turn for turn in script.turns if turn.role == 1]
    assert all(any(turn.start <= event.start < turn.end for turn in listening) for event in added)


def test_neighbours_begin_with_the_own_listener():
    chosen = choose_neighbours(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool), 3, seed=0)
    np.testing.assert_array_equal(chosen, [[0, 1, 0], [1, 0, 1], [2, 2, 2]])
