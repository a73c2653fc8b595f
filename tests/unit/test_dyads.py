"""Made conversations: the tree's form, its seeds, and the cause and effect planted in it."""

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipeline.dyads import make, play, writer
from data_pipeline.dyads.__main__ import main
from data_pipeline.dyads.attributes import attributes
from data_pipeline.dyads.channels import channels
from data_pipeline.dyads.conversations import Recipe, count_events, neighbours, plan
from data_pipeline.dyads.listening import MEAN_DELAY, STYLES, answer
from data_pipeline.dyads.performance import GESTURES, envelope
from data_pipeline.dyads.scripts import CHANCES, LENGTHS, Event, Script, Turn, write_script
from data_pipeline.dyads.voice import RATE, SAMPLES_PER_FRAME, speak
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import read_video
from reactface_jax.types import NUM_EXPRESSION

SMALL = {"num_clips": 4, "seconds": 2, "takes": 2, "size": (64, 64)}


def arrays_of(root):
    """Coefficients, attributes, sounds and matrices of a tree, by file."""
    found = {path.relative_to(root): np.load(path) for path in root.rglob("*.npy")}
    found |= {path.relative_to(root): np.frombuffer(path.read_bytes(), np.uint8) for path in root.rglob("*.wav")}
    return found | {path.relative_to(root): np.array(path.read_text()) for path in root.rglob("*.csv")}


def assert_same_tree(root, other):
    expected, found = arrays_of(root), arrays_of(other)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=str(name))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("dyads") / "tree"
    make(root, **SMALL, workers=1)
    return root


@pytest.fixture(scope="module")
def played():
    """Speakers and listeners [N, T, 58] of longer conversations, undrawn, with their plan."""
    conversations = plan(Recipe(num_clips=36, seconds=8))["train"]
    people = [[conversation.play(role)[0] for conversation in conversations] for role in (0, 1)]
    speakers, listeners = np.array(people[0] + people[1]), np.array(people[1] + people[0])
    return conversations, speakers, listeners


def test_tree_has_the_form_of_react2023(tree):
    """Every file of the specification, with its shape, for every person that a csv names."""
    num_frames, rows = 50, []
    for split in ("train", "val", "test"):
        with (tree / f"{split}.csv").open() as file:
            table = list(csv.reader(file))
        assert table[0] == ["", "speaker_path", "listener_path"]
        assert [int(row[0]) for row in table[1:]] == list(range(len(table) - 1))
        for _, speaker, listener in table[1:]:
            assert speaker == listener.replace("Novice_video", "Expert_video")
            rows.append(speaker.replace("/Expert_video", "").split("/"))
            for person in (speaker, listener):
                coefficients = np.load(tree / "3D_FV_files" / f"{person}.npy")
                assert coefficients.dtype == np.float32
                assert coefficients.squeeze().shape == (num_frames, 58)
                assert np.isfinite(coefficients).all()
                emotion = np.loadtxt(tree / "Emotion" / f"{person}.csv", delimiter=",", skiprows=1)
                assert emotion.shape == (num_frames, 25)
                assert read_video(tree / "Video_files" / f"{person}.mp4").shape == (num_frames, 64, 64, 3)
                assert len(read_audio(tree / "Audio_files" / f"{person}.wav", 44100)) == num_frames * 1764
        size = 2 * (len(table) - 1)
        for name in (f"neighbour_emotion_{split}.npy", f"neighbour_emotion_new_{split}.npy"):
            assert np.load(tree / name).shape == (size, size)
    with (tree / "data_indices.csv").open() as file:
        table = list(csv.reader(file))
    assert table[0] == ["site", "chat_index", "clip_index"]
    assert table[1:] == rows
    assert np.load(tree / "Approprirate_facial_reaction.npy").shape == (2 * len(rows), 2 * len(rows))
    assert json.loads((tree / "coefficient_names.json").read_text()) == list(COEFFICIENT_NAMES)


def test_statistics_are_those_of_the_training_clips(tree):
    with (tree / "train.csv").open() as file:
        people = [person for row in list(csv.reader(file))[1:] for person in row[1:]]
    frames = np.concatenate([np.load(tree / "3D_FV_files" / f"{person}.npy")[:, 0] for person in people])
    np.testing.assert_allclose(np.load(tree / "mean_face.npy"), frames.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.load(tree / "std_face.npy"), frames.std(axis=0), rtol=1e-4, atol=1e-5)


def test_full_matrix_holds_the_splits_matrices(tree):
    full = np.load(tree / "Approprirate_facial_reaction.npy")
    total, first = len(full) // 2, 0
    for split in ("train", "val", "test"):
        matrix = np.load(tree / f"neighbour_emotion_{split}.npy")
        rows = np.arange(first, first + len(matrix) // 2)
        both_roles = np.concatenate([rows, rows + total])
        np.testing.assert_array_equal(full[np.ix_(both_roles, both_roles)], matrix)
        first += len(rows)
    assert first == total


def test_workers_change_nothing(tree, tmp_path):
    make(tmp_path / "tree", **SMALL, workers=2)
    assert_same_tree(tree, tmp_path / "tree")


def test_interrupted_and_resumed_is_as_undisturbed(tree, tmp_path, monkeypatch):
    """Interrupted in the middle of a video; only what is missing is made again."""
    root = tmp_path / "tree"
    render = writer.HeadRenderer.render
    frames = []

    def interrupted(renderer, coefficients):
        frames.append(None)
        if len(frames) == 130:
            raise KeyboardInterrupt
        return render(renderer, coefficients)

    monkeypatch.setattr(writer.HeadRenderer, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(root, **SMALL, workers=1)
    monkeypatch.undo()
    done = {path: path.stat().st_mtime_ns for path in root.rglob("*.mp4")}
    assert len(done) == 2, "two of the clips of 50 frames were complete"
    assert not (root / "train.csv").exists()
    assert not list(root.rglob("*.partial"))
    make(root, **SMALL, workers=1)
    assert_same_tree(tree, root)
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())


def test_complete_tree_is_left_alone(tree):
    before = time.time_ns()
    make(tree, **SMALL, workers=1)
    assert all(path.stat().st_mtime_ns < before for path in tree.rglob("*.mp4"))


def test_other_recipes_and_other_folders_are_refused(tree, tmp_path):
    with pytest.raises(UserError, match="seed 0"):
        make(tree, **SMALL, seed=1)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="not empty"):
        make(tmp_path, **SMALL)
    with pytest.raises(UserError, match="--clips 2 is too few: each of train, val, test needs a conversation"):
        make(tmp_path / "new", num_clips=2)
    with pytest.raises(UserError, match="12 conversations in takes of 3 are 4 scripts; give more --clips"):
        make(tmp_path / "new", num_clips=12, test_scripts=3)
    assert not (tmp_path / "new").exists()


def test_command_line_reports_in_one_sentence(tmp_path):
    command = [sys.executable, "-m", "data_pipeline.dyads", "--out", str(tmp_path / "new"), "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: --seconds 1 is too short")


def test_command_line_says_how_many_clips_the_conversations_are(tmp_path, capsys):
    root = tmp_path / "tree"
    main(["--out", str(root), "--clips", "3", "--seconds", "2", "--no-pictures", "--workers", "1"])
    assert f"3 conversations (6 clips) of 2 s are in {root}\n" in capsys.readouterr().out
    assert len(list(root.glob("Audio_files/**/*.wav"))) == 6


def test_plan_is_a_function_of_the_seed():
    clips = [plan(Recipe(num_clips=3, seconds=2, seed=seed))["train"][0] for seed in (0, 0, 1)]
    first, again, other = (clip.play(0)[0] for clip in clips)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("num_clips", [3, 16, 47])
def test_splits_share_neither_people_nor_scripts(num_clips):
    splits = plan(Recipe(num_clips=num_clips, seconds=2))
    assert sum(map(len, splits.values())) == num_clips
    assert all(splits.values())
    for attribute in ("session", "script_id"):
        seen = [{getattr(conversation, attribute) for conversation in split} for split in splits.values()]
        assert len(set.union(*seen)) == sum(map(len, seen))
    paths = [c.path(role) for split in splits.values() for c in split for role in (0, 1)]
    assert len(set(paths)) == 2 * num_clips


def test_neighbours_play_the_same_script_in_the_same_role(played):
    conversations, _, _ = played
    matrix = neighbours(conversations)
    number = len(conversations)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    assert not matrix[:number, number:].any()
    for i, j in np.ndindex(number, number):
        same = conversations[i].script == conversations[j].script
        assert matrix[i, j] == matrix[number + i, number + j] == same
    assert (matrix.sum(axis=1) == 3).all()
    styles = {(c.script_id, c.people[1].style) for c in conversations}
    assert len(styles) == number, "each take of a script is answered in another style"


def test_planted_delay_is_recovered(played):
    """The listener's smiles follow the speaker's by the planted delay, for either role."""
    conversations, speakers, listeners = played
    delays = [a.delay for c in conversations for answers in c.answers for a in answers]
    assert abs(np.mean(delays) - MEAN_DELAY) < 0.3
    smile = channels("mouthSmile")
    speaker, listener = (people[..., smile].mean(axis=2) for people in (speakers, listeners))
    number = len(conversations)
    for rows in (slice(None), slice(number), slice(number, None)):
        s = speaker[rows] - speaker[rows].mean(axis=1, keepdims=True)
        r = listener[rows] - listener[rows].mean(axis=1, keepdims=True)
        correlation = [(r[:, lag:] * s[:, : s.shape[1] - lag]).mean() for lag in range(50)]
        assert abs(int(np.argmax(correlation)) - MEAN_DELAY) <= 1


def test_mouth_follows_the_sound():
    conversation = plan(Recipe(num_clips=3, seconds=8))["train"][0]
    for role in (0, 1):
        coefficients, sound = conversation.play(role)
        energy = np.sqrt((sound.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1))
        jaw = coefficients[:, channels("jawOpen")[0]]
        assert np.corrcoef(energy, jaw)[0, 1] > 0.8
        talks = np.zeros(len(jaw), bool)
        for turn in conversation.script.turns:
            talks[turn.start : turn.end] |= turn.role == role
        funnel = coefficients[:, channels("mouthFunnel")[0]]  # the jaw opens in smiles, too
        assert funnel[talks].mean() > 10 * funnel[~talks].mean()


def test_laughs_are_heard():
    script = Script(100, (Turn(0, 0, 100),), ((Event("smile", 40, 20, 1.0, 1),), ()))
    sound = speak(script, 0, 1.0, np.random.default_rng(0)).reshape(100, -1)
    differences = np.diff(sound, axis=1)  # breath is noise: neighbouring samples differ as much as they are large
    roughness = np.sqrt((differences**2).mean(axis=1) / (sound**2).mean(axis=1))
    assert roughness[45:55].mean() > 1 > 2 * np.median(roughness[5:38])


def test_voice_carries_emphasis_and_pauses():
    script = write_script(np.random.default_rng(0), 1500)
    sound = speak(script, 0, 1.0, np.random.default_rng(0))
    energy = np.sqrt((sound.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1))
    assert RATE / SAMPLES_PER_FRAME == 25

    def loudness(kind):
        spans = [energy[e.start + 2 : e.start + e.length - 1] for e in script.events[0] if e.kind == kind]
        return np.concatenate(spans).mean()

    assert loudness("emphasis") > 1.4 * loudness("smile")
    assert loudness("pause") < 0.05 * loudness("smile")


def test_coefficients_are_plausible_and_some_channels_constant(played):
    _, speakers, _ = played
    expressions = speakers[..., :NUM_EXPRESSION]
    assert expressions.min() >= 0
    assert expressions.max() <= 1
    assert abs(speakers[..., 52].mean() - np.pi) < 0.1
    assert abs(speakers[..., 57].mean() - 1.84) < 0.1
    constant = speakers.astype(np.float64).std(axis=1) == 0
    always = [name for name, share in zip(COEFFICIENT_NAMES, constant.mean(axis=0), strict=True) if share == 1]
    assert {"tongueOut", "mouthClose"} <= set(always)
    assert constant.mean(axis=0)[channels("browDown")].max() > 0, "a clip without a frown has constant frown channels"
    assert not constant[:, channels("eyeBlink")].all()


def test_every_style_answers_with_known_gestures():
    for answers in STYLES.values():
        assert answers.keys() == LENGTHS.keys() == CHANCES.keys() | {"question"}
        assert "smile" in answers["smile"]
        played = {gesture for gestures in answers.values() for gesture in gestures}
        assert played <= {gesture.rstrip("+-") for gesture in GESTURES}


def test_answers_come_after_their_delay():
    event = Event("smile", start=20, length=20, strength=1.0, side=1)
    answers = [answer((event,), "reserved", np.random.default_rng(seed))[0] for seed in range(300)]
    delays = np.array([a.delay for a in answers])
    assert abs(delays.mean() - MEAN_DELAY) < 0.3
    assert delays.min() >= 6
    assert delays.max() <= 14
    turn = Event("turn", start=20, length=20, strength=1.0, side=1)
    assert answer((turn,), "reserved", np.random.default_rng(0)) == []


def test_events_stay_within_their_turns():
    for seed in range(20):
        script = write_script(np.random.default_rng(seed), 250)
        assert script.turns[0].start == 0
        assert script.turns[-1].end == 250
        for role in (0, 1):
            for event in script.events[role]:
                assert any(t.role == role and t.start <= event.start < t.end for t in script.turns)
        assert len(script.events[0]) + len(script.events[1]) >= 5


def test_envelope_rises_holds_and_falls():
    course = envelope(20)
    assert course.max() == pytest.approx(1.0, abs=0.05)
    assert max(course[0], course[-1]) < 0.05
    assert (np.diff(course[:7]) > 0).all()
    assert (np.diff(course[-7:]) < 0).all()


def test_attributes_of_a_smile():
    face = np.zeros((2, 58), np.float32)
    face[1, channels("mouthSmile")] = 0.9
    neutral, smile = attributes(face)
    assert neutral[:15].sum() == 0
    assert smile[7] == 1, "AU12"
    assert smile[15] > 0.7 > neutral[15], "valence"
    np.testing.assert_allclose([neutral[17:].sum(), smile[17:].sum()], 1)
    assert np.argmax(smile[17:]) == 1, "happy"


def test_without_pictures_the_rest_is_the_same(tree, tmp_path):
    """Coefficients and labels to the bit; the sound as the loader would resample it; and it is resumable."""
    root = tmp_path / "tree"
    make(root, **SMALL, workers=1, pictures=False)
    assert not (root / "Video_files").exists()
    paths = [path.relative_to(tree) for path in tree.rglob("*") if path.suffix in (".npy", ".csv")]
    assert len(paths) == 8 * 2 + 13, "two files a person and 13 tables"
    for path in paths:
        assert (root / path).read_bytes() == (tree / path).read_bytes(), path
    sounds = sorted(path.relative_to(root) for path in root.rglob("*.wav"))
    assert len(sounds) == 8
    np.testing.assert_allclose(read_audio(root / sounds[0]), read_audio(tree / sounds[0]), atol=1e-4)
    (root / sounds[0]).unlink()
    make(root, **SMALL, workers=1, pictures=False)
    assert (root / sounds[0]).is_file()
    with pytest.raises(UserError, match="pictures False"):
        make(root, **SMALL)


def test_arrays_are_those_of_the_tree(tree):
    played = play(Recipe(num_clips=4, seconds=2, takes=2), "train")
    count = len(played.conversations)
    people = [c.path(role) for role in (0, 1) for c in played.conversations]
    for row, person in enumerate(people):
        np.testing.assert_array_equal(played.speaker[row], np.load(tree / "3D_FV_files" / f"{person}.npy")[:, 0])
        heard = read_audio(tree / "Audio_files" / f"{person}.wav")
        np.testing.assert_allclose(played.sound[row] / 32768, heard, atol=1e-4)
        np.testing.assert_array_equal(played.listener[row], played.speaker[(row + count) % (2 * count)])
    np.testing.assert_array_equal(played.neighbours, np.load(tree / "neighbour_emotion_train.npy"))
    assert [c["people"][0]["path"] for c in played.truth()] == people[:count]
    assert play(Recipe(num_clips=4, seconds=2, takes=2), "val", sound=False).sound.shape == (2, 0)
    with pytest.raises(UserError, match="no split dev"):
        play(Recipe(num_clips=4, seconds=2), "dev")


def test_number_of_test_scripts_is_free():
    recipe = Recipe(num_clips=24, seconds=2, takes=2, test_scripts=8)
    splits = plan(recipe)
    assert {split: len({c.script_id for c in clips}) for split, clips in splits.items()} == {
        "train": 3,
        "val": 1,
        "test": 8,
    }
    with pytest.raises(UserError, match="--test-scripts 11 does not leave"):
        Recipe(num_clips=24, seconds=2, takes=2, test_scripts=11)


def test_events_of_shared_scripts_count_once():
    conversations = plan(Recipe(num_clips=40, seconds=8, takes=4))["train"]
    one_take = [c for c in conversations if c.key[-1] == 0]
    counts = count_events(conversations)
    assert counts == count_events(one_take)
    assert sum(counts.values()) == sum(len(events) for c in one_take for events in c.script.events)
    assert counts["smile"] > counts["emphasis"]
