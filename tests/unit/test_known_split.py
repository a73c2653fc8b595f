"""What is known of a split: its planted truth, and who has the floor by the voices."""

import json

import numpy as np
import pytest

from data_pipeline.dyads import Recipe, ceilings, play
from data_pipeline.dyads.conversations import neighbours, plan, recipe_of, truth
from reactface_jax.errors import UserError
from reactface_jax.evaluation.heard import hear
from reactface_jax.evaluation.known_split import know_split
from reactface_jax.evaluation.planted_truth import read_truth
from reactface_jax.types import SAMPLES_PER_FRAME, Batch, Clips

RECIPE = Recipe(num_clips=8, seconds=5, takes=2)
NAMES = ("mouthSmileLeft", *(f"c{i}" for i in range(57)))


class Played:
    """The shard set of a recipe, without files."""

    def __init__(self):
        self.splits = {name: play(RECIPE, name) for name in ("train", "val", "test")}

    def num_clips(self, split):
        return len(self.splits[split].speaker)

    def clip_ids(self, split):
        return [c.path(role) for role in (0, 1) for c in self.splits[split].conversations]

    def coefficients(self, split):
        return self.splits[split].speaker, self.splits[split].listener

    def clip_batches(self, split, *, batch_size, num_frames, image_size):
        assert image_size == 0
        people = self.splits[split]
        for start in range(0, len(people.speaker), batch_size):
            rows = np.arange(start, min(start + batch_size, len(people.speaker)))
            audio = people.sound[rows, : num_frames * SAMPLES_PER_FRAME] / 32768
            audio = (audio - audio.mean(1, keepdims=True)) / audio.std(1, keepdims=True)
            yield Batch(None, audio, None, None, None, None, rows)


@pytest.fixture(scope="module")
def shards():
    return Played()


@pytest.fixture(scope="module")
def truth_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "dyads.json"
    path.write_text(json.dumps(truth(RECIPE, plan(RECIPE))))
    return path


def test_truth_is_that_of_the_plan(truth_file, shards):
    found = read_truth(truth_file, "train", shards.clip_ids("train"), 125)
    conversations = shards.splits["train"].conversations
    np.testing.assert_array_equal(found.listening, ceilings.listening(conversations))
    np.testing.assert_array_equal(
        found.groups[:, None] == found.groups,
        np.tile(neighbours(conversations), 1) + np.roll(neighbours(conversations), len(conversations), axis=0),
    )
    whichever = read_truth(truth_file, None, shards.clip_ids("train"), 125)
    assert (whichever.events, whichever.groups.tolist()) == (found.events, found.groups.tolist())
    first = conversations[0].script
    assert [tuple(event)[:3] for event in found.events[0]] == [(e.kind, e.start, e.length) for e in first.events[0]]
    assert [tuple(event)[:3] for event in found.own_events[0]] == [(e.kind, e.start, e.length) for e in first.events[1]]


def test_truths_that_do_not_fit(truth_file, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_truth(tmp_path / "none.json", "train", [], 125)
    with pytest.raises(UserError, match="does not know someone of split train"):
        read_truth(truth_file, "train", ["someone"], 125)
    with pytest.raises(UserError, match="does not know someone; give"):
        read_truth(truth_file, None, ["someone"], 125)
    whole = json.loads(truth_file.read_text())
    one_person = {"people": [{"path": "a", "events": []}], "turns": [], "script": 0}
    infinite = {**one_person, "people": 2 * [{"path": "a", "events": [{"kind": "smile", "start": float("inf")}]}]}
    for content in (
        [1],
        "text",
        {"conversations": []},
        {"conversations": {"train": [1]}},
        {"conversations": {"train": [one_person]}},
        {"conversations": {"train": [infinite]}},
        {**whole, "conversations": {"train": {"people": 1}}},
    ):
        (tmp_path / "other.json").write_text(json.dumps(content))
        for split in ("train", None):
            with pytest.raises(UserError, match=r"is no truth of made conversations; give their dyads\.json"):
                read_truth(tmp_path / "other.json", split, ["a"], 125)
    (tmp_path / "list.csv").write_text("a,b")
    with pytest.raises(UserError, match=r"list\.csv is no truth"):
        read_truth(tmp_path / "list.csv", "train", [], 125)
    with pytest.raises(UserError, match="is a folder, not a file; give the dyads"):
        read_truth(tmp_path, "train", [], 125)
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(UserError, match="is no truth"):
        ceilings.ceiling_rows(tmp_path / "other.json", "train", 1, [], 125)


def test_who_has_the_floor_is_heard(shards, truth_file):
    heard = hear(shards, "train", 125)
    told = read_truth(truth_file, "train", shards.clip_ids("train"), 125).listening
    assert (heard.listening == told).mean() > 0.85
    few = hear(shards, "train", 125, most=3)
    assert few.rows.tolist() == [0, (len(told) - 1) // 2, len(told) - 1]
    np.testing.assert_array_equal(few.audio, heard.audio[few.rows])
    np.testing.assert_array_equal(few.listening, heard.listening[few.rows])


def test_all_that_is_known(shards, truth_file):
    clips = Clips(*shards.coefficients("test"), shards.splits["test"].neighbours, shards.clip_ids("test"), NAMES)
    found = know_split(shards, "test", clips, 8, truth_file)
    count = len(clips.speaker)
    assert found.known.sound.shape == (count, 125, 24)
    assert found.inputs.audio.shape == (count, 125 * 640)
    assert len(found.training_listeners) == shards.num_clips("train")
    assert found.known.window == 8
    assert found.known.events is not None
    without = know_split(shards, "test", clips, 8, None)
    assert without.known.events is None
    np.testing.assert_array_equal(
        without.known.groups, np.unique([i.split("/")[1] for i in clips.clip_ids], return_inverse=True)[1]
    )


def test_ceiling_rows_are_those_of_the_clips(shards, truth_file, monkeypatch):
    monkeypatch.setattr(ceilings, "EXPECTATION_DRAWS", 2)
    monkeypatch.setattr(ceilings, "num_cores", lambda: 1)
    ids = shards.clip_ids("test")[::-1]
    rows = dict(ceilings.ceiling_rows(truth_file, "test", 2, ids, 100))
    assert list(rows) == ["other-take", "planted-sampler", "planted-expectation"]
    assert rows["planted-sampler"].shape == (len(ids), 2, 100, 58)
    made = ceilings.ceilings(shards.splits["test"].conversations, num_reactions=2, num_draws=2)
    np.testing.assert_array_equal(rows["planted-sampler"], made.sampler[::-1, :, :100])
    with pytest.raises(UserError, match="does not know nobody"):
        ceilings.ceiling_rows(truth_file, "test", 2, ["nobody"], 100)


def test_recipes_of_old_trees_have_their_defaults():
    assert recipe_of({"num_clips": 8, "seconds": 5, "seed": 0, "takes": 2, "size": [256, 256]}) == RECIPE
