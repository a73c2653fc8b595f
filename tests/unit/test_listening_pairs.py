"""Made conversations for a listener that learns: who answers whom, and with what."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.dyads.channels import channels
from data_pipeline.dyads.listening_pairs import FORM, TALKS, make_pairs
from data_pipeline.dyads.scripts import add_silent_events, redraw, write_script
from reactface_jax.errors import UserError
from reactface_jax.folder_lock import locked
from reactface_jax.methods.listener import training_data
from reactface_jax.methods.listener.config import ListenerConfig, ListenerData, ListenerSizes, ListenerTraining
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
    data = listening_data(kept(cache))
    np.testing.assert_array_equal(data.listener, pairs.listener)
    assert data.form.tolist() == [0, 0, 0, 0, 1, 1]


def kept(cache, **other) -> ListenerData:
    return ListenerData(**{"scripts": 2, "seconds": 6.0, "seed": 3, "cache": str(cache), **other})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"scripts": 3}, "3 scripts of 6 s with seed 3"),
        ({"seconds": 6.04}, "2 scripts of 6.04 s with seed 3"),
        ({"seed": 4}, "2 scripts of 6 s with seed 4"),
    ],
)
def test_kept_conversations_are_those_that_are_asked_for(pairs, cache, other, words):
    with pytest.raises(UserError, match=f"{cache} holds 2 scripts of 6 s with seed 3, and {words} are asked for"):
        listening_data(kept(cache, **other))


def test_a_file_that_holds_no_conversations_gets_a_sentence(pairs, cache, tmp_path):
    old, cut, text = tmp_path / "old.npz", tmp_path / "cut.npz", tmp_path / "text.npz"
    np.savez(old, **pairs._asdict())
    cut.write_bytes(cache.read_bytes()[:5000])
    text.write_text("no array")
    for path, message in (
        (old, "is of an earlier version, which did not keep its numbers; give another file"),
        (cut, "holds no conversations, or is damaged; give another file"),
        (text, "holds no conversations, or is damaged; give another file"),
        (tmp_path, "is a folder; give a file, such as "),
        (text / "pairs.npz", "can't be written"),
    ):
        with pytest.raises(UserError, match=message):
            listening_data(kept(path))


def test_clips_of_a_frame_or_two_are_refused():
    with pytest.raises(UserError, match=r"--data.seconds 0.1 is 2 frames; give at least 3, .12 seconds"):
        make_pairs(1, seconds=0.1)
    assert make_pairs(1, seconds=0.12).listener.shape == (2, len(FORM), 3, 58)
    with pytest.raises(UserError, match=r"data.seconds 0.16 is 4 frames, fewer than model.chunk 5; give longer clips"):
        ListenerConfig(data=ListenerData(seconds=0.16))


# ---- The folder of a training


CONFIG = ListenerConfig(
    ListenerSizes(components=5, speaker_width=8, own_width=6, style_width=3, head_width=8, head_blocks=1),
    ListenerTraining(steps=2, warmup_steps=1, batch_size=2),
)


def here(cache) -> ListenerConfig:
    return dataclasses.replace(CONFIG, data=kept(cache))


def no_data(config):
    raise AssertionError("data were opened before the folder was looked at")


def test_a_training_is_neither_lost_nor_mixed_with_another(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(training_data, "listening_data", no_data)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "training_state.npz").write_bytes(b"")
    (tmp_path / "other" / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for name, how, message in (
        ("old", {}, "holds a training already"),
        ("old", {"resume": True, "overwrite": True}, "exclude each other"),
        ("none", {"resume": True}, "does not exist, so there is nothing to resume; leave --resume out"),
        ("file", {}, "is a file; give a directory"),
        ("other", {"resume": True}, "holds a run that is no listener's; give another folder"),
    ):
        with pytest.raises(UserError, match=message):
            train_listener(here(cache), tmp_path / name, **how)
    assert not (tmp_path / "none").exists()
    with locked(tmp_path / "busy"), pytest.raises(UserError, match=r"process \d+ on .* is writing into .*busy"):
        train_listener(here(cache), tmp_path / "busy")


def test_an_old_training_stays_until_a_new_one_saves(pairs, cache, tmp_path, monkeypatch):
    lines: list[str] = []
    weights = train_listener(here(cache), tmp_path, resume=True, log=lines.append)  # an empty folder: from step 0
    state = tmp_path / "training_state.npz"
    before = weights.read_bytes(), state.read_bytes()
    missing = dataclasses.replace(CONFIG, data=ListenerData(dir=str(tmp_path / "missing")))
    with pytest.raises(UserError, match="missing"):
        train_listener(missing, tmp_path, overwrite=True)
    assert (weights.read_bytes(), state.read_bytes()) == before

    seeded = dataclasses.replace(here(cache), train=dataclasses.replace(CONFIG.train, seed=1))
    train_listener(seeded, tmp_path, overwrite=True, log=lines.append)
    assert not any("goes on from step" in line for line in lines)
    assert weights.read_bytes() != before[0]
    assert state.read_bytes() != before[1]


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
