"""Evaluation of a split with a small model, and what the report says of it."""

import dataclasses
import io
import itertools
import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_model
from rich.console import Console

from reactface_jax.all_devices import AllDevices, fetched
from reactface_jax.config import Config, EvalConfig
from reactface_jax.errors import UserError
from reactface_jax.evaluation import report
from reactface_jax.evaluation import rows as evaluation
from reactface_jax.evaluation.console_tables import tables
from reactface_jax.evaluation.legend import RESAMPLED, resampled
from reactface_jax.evaluation.measuring import measure_methods
from reactface_jax.evaluation.verdict import verdict
from reactface_jax.methods import Inputs
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.metrics.groups import sessions
from reactface_jax.metrics.movement import inside_windows
from reactface_jax.models import build_model
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, Batch

NUM_CLIPS, NUM_FRAMES, SIZE = 5, 12, 16
NAMES = ("browDown", "mouthSmileLeft", "mouthSmileRight", *(f"c{i}" for i in range(NUM_COEFFICIENTS - 3)))
MEAN_FACE = np.linspace(0, 3, NUM_COEFFICIENTS, dtype=np.float32)
CONFIG = Config(model=small_model.CONFIG, eval=EvalConfig(protocol="clip", num_reactions=2))


@pytest.fixture(scope="module")
def clips() -> evaluation.Clips:
    generator = np.random.default_rng(0)
    people = generator.standard_normal((2, NUM_CLIPS, 90, NUM_COEFFICIENTS)).cumsum(2).astype(np.float32) * 0.05
    return evaluation.Clips(*people, np.eye(NUM_CLIPS, dtype=bool), [f"clip {i}" for i in range(NUM_CLIPS)], NAMES)


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    return make_batches([0, 1, 2, 3, 4, -1])


def make_batches(order: list[int]) -> list[Batch]:
    """Batches of two clips; -1 is padding."""
    generator = np.random.default_rng(1)
    video = generator.integers(0, 256, (NUM_CLIPS, NUM_FRAMES, SIZE, SIZE, 3), np.uint8)
    audio = generator.standard_normal((NUM_CLIPS, NUM_FRAMES * SAMPLES_PER_FRAME)).astype(np.float32)
    coefficients = np.zeros((2, NUM_FRAMES, NUM_COEFFICIENTS), np.float32)
    neighbours, mask = np.zeros((2, 0, NUM_FRAMES, NUM_COEFFICIENTS), np.float32), np.zeros((2, 0), bool)
    return [
        Batch(video[clip], audio[clip], coefficients, coefficients, neighbours, mask, clip)
        for clip in np.array(order, np.int32).reshape(-1, 2)
    ]


@pytest.fixture(scope="module")
def trained() -> TrainedReactFace:
    model = build_model(CONFIG.model)
    return TrainedReactFace(model, small_model.random_params(model), MEAN_FACE, SIZE, "clip")


@pytest.fixture(scope="module")
def generated(trained, batches) -> evaluation.Generated:
    return evaluation.generate_split(trained, batches, NUM_CLIPS, CONFIG.eval, MEAN_FACE)


@pytest.fixture(scope="module")
def made(clips) -> report.Report:
    baselines = evaluation.baselines(evaluation.baseline_methods(clips, clips.listener), Inputs(clips.speaker), 3)
    rows = [evaluation.evaluate(name, prediction, clips) for name, prediction in baselines]
    delayed = np.roll(clips.speaker, 10, axis=1)[:, None]
    rows.append(evaluation.evaluate("ReactFace", delayed, clips, frames_per_second=123.4))
    return report.Report(rows, CONFIG, "runs/x, step 7", {"data": "shards", "clips": NUM_CLIPS}, {"jax": "1.2"})


# ---- Generation


def test_every_clip_gets_different_reactions(generated):
    assert generated.prediction.shape == (NUM_CLIPS, 2, NUM_FRAMES, NUM_COEFFICIENTS)
    assert np.isfinite(generated.prediction).all()
    assert generated.frames_per_second > 0
    assert (np.ptp(generated.prediction, axis=1).max((1, 2)) > 0).all()


def test_a_clips_reactions_do_not_depend_on_its_company(trained, generated):
    others = make_batches([3, -1, 2, 4, 1, 0])
    other_face = dataclasses.replace(trained, mean_face=MEAN_FACE + 1)
    again = evaluation.generate_split(other_face, others, NUM_CLIPS, CONFIG.eval, MEAN_FACE)
    np.testing.assert_allclose(again.prediction, generated.prediction + 1, atol=1e-4)  # raw: mean_face is added


@dataclasses.dataclass(frozen=True)
class Echo:
    """Answers with the mean of what it saw and a number of the clip's own; compiles at once."""

    name: str = "echo"
    needs: tuple[str, ...] = ("video", "audio")
    image_size: int = SIZE

    def answer(self, inputs: Inputs, num_reactions: int, *, keys: jax.Array) -> np.ndarray:
        own = jax.vmap(lambda key: jax.random.normal(key, (num_reactions, NUM_FRAMES, NUM_COEFFICIENTS)))(keys)
        saw = jnp.mean(jnp.asarray(inputs.video, jnp.float32), axis=(2, 3, 4))
        self.seen_by.append(saw.sharding.device_set)
        return fetched(own + saw[:, None, :, None])

    seen_by: list = dataclasses.field(default_factory=list)

    def generate(self, inputs: Inputs, num_reactions: int = 1, *, key: jax.Array) -> np.ndarray:
        return self.answer(inputs, num_reactions, keys=jax.random.split(key, len(inputs.video)))


def test_eight_devices_share_a_batch_and_answer_as_one_does(batches):
    devices = AllDevices(8)
    assert devices.mesh.size == 8
    assert (devices.batch_size(5), devices.own_rows(8)) == (8, list(range(8)))
    shared = devices.spread(np.zeros((8, 2), np.float32))
    assert {shard.data.shape for shard in shared.addressable_shards} == {(1, 2)}
    whole = [jax.tree.map(lambda *x: np.concatenate(x), *make_batches([0, 1, 2, 3, 4, -1, -1, -1]))]
    alone, together = Echo(), Echo()
    expected = evaluation.generate_split(alone, batches, NUM_CLIPS, CONFIG.eval, MEAN_FACE)
    found = evaluation.generate_split(together, whole, NUM_CLIPS, CONFIG.eval, MEAN_FACE, devices=devices)
    np.testing.assert_allclose(found.prediction, expected.prediction, rtol=1e-5)
    assert {len(some) for some in alone.seen_by} == {1}
    assert {len(some) for some in together.seen_by} == {8}


@pytest.mark.long
def test_eight_devices_react_as_one_does(trained, generated):
    devices = AllDevices(8)
    whole = [jax.tree.map(lambda *x: np.concatenate(x), *make_batches([0, 1, 2, 3, 4, -1, -1, -1]))]
    found = evaluation.generate_split(trained.on(devices), whole, NUM_CLIPS, CONFIG.eval, MEAN_FACE, devices=devices)
    np.testing.assert_allclose(found.prediction, generated.prediction, atol=1e-4)


def test_padding_does_not_count_as_speed(batches, monkeypatch):
    """Three batches of two, a second each by this clock; the last one holds a clip and padding."""
    monkeypatch.setattr(evaluation, "time", types.SimpleNamespace(perf_counter=itertools.count().__next__))
    found = evaluation.generate_split(Echo(), batches, NUM_CLIPS, CONFIG.eval, MEAN_FACE)
    assert found.frames_per_second == NUM_CLIPS * 2 * NUM_FRAMES / 3


def test_no_more_devices_than_clips():
    assert AllDevices(3).mesh.size == 3
    assert AllDevices(100).mesh.size == len(jax.devices())


def test_the_report_names_a_missing_clip(trained, batches):
    with pytest.raises(UserError, match="delivered 2 of 5 clips"):
        evaluation.generate_split(trained, batches[:1], NUM_CLIPS, CONFIG.eval, MEAN_FACE)


def test_parameters_of_another_configuration_are_refused(trained):
    other = build_model(dataclasses.replace(CONFIG.model, feature_dim=24))
    with pytest.raises(UserError, match=r"not of this configuration: .* has shape"):
        dataclasses.replace(trained, model=other)


# ---- Rows


def test_rows_and_their_identities(made):
    rows = {row.name: row for row in made.rows}
    assert list(rows) == ["GT", "Mirror", "Random", "MeanSeq", "MeanFr", "ReactFace"]
    assert rows["GT"].scores["clean"]["FRCorr"] == pytest.approx(10)
    assert rows["Mirror"].scores["clean"]["FRSyn"] == 0
    assert rows["MeanFr"].scores["clean"]["FRCorr"] == 0
    assert rows["Mirror"].smile.lag == 0
    assert rows["ReactFace"].smile.lag == 10


def test_each_row_is_looked_at_in_its_own_windows(clips):
    steps = np.repeat(clips.speaker[:, None, ::10], 10, axis=2)  # moves at each tenth frame only
    methods = [("Mirror", clips.speaker[:, None]), ("tens", steps), ("eights", steps)]
    console = Console(file=io.StringIO())
    rows = measure_methods(methods, 3, clips, console, windows={"tens": 10, "eights": 8})
    assert [row.window for row in rows] == [16, 10, 8]
    inside = [row.scores["clean"]["inside_windows"] for row in rows]
    assert inside[0] == inside_windows(clips.speaker[:, None], 16).value()
    assert inside[1] == pytest.approx(0, abs=1e-9)
    assert inside[2] == inside_windows(steps, 8).value() > 0.01
    made = report.Report(rows, None, "", {}, {})
    assert "within windows of 16 frames (tens 10, eights 8)." in report.legend(made)
    assert [row["window"] for row in json.loads(report.to_json(made))["rows"]] == [16, 10, 8]


def test_smiles_are_not_sought_among_unnamed_channels(clips):
    nameless = dataclasses.replace(clips, coefficient_names=[f"expression_{i:02}" for i in range(NUM_COEFFICIENTS)])
    assert evaluation.evaluate("Mirror", clips.speaker[:, None], nameless).smile is None


def test_errors_name_the_clip(clips):
    broken = clips.speaker[:, None].copy()
    broken[3, 0, 5, 5] = np.nan
    with pytest.raises(UserError, match=r"clip 3 \(clip 3\)"):
        evaluation.evaluate("x", broken, clips)


# ---- Report


def test_files(made, tmp_path):
    report.write(made, tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "report.json",
        "report.md",
        "report.tex",
    ]
    content = json.loads((tmp_path / "new" / "folder" / "report.json").read_text())
    assert [row["method"] for row in content["rows"]] == [row.name for row in made.rows]
    assert content["rows"][-1]["scores"]["paper"]["FRCorr"] == made.rows[-1].scores["paper"]["FRCorr"]
    assert content["rows"][-1]["smile"]["lag"] == 10
    assert content["config"]["model"]["feature_dim"] == 16
    assert content["versions"] == {"jax": "1.2"}
    assert content["source"] == "runs/x, step 7"


def test_undefined_figures_are_null_and_dashes(made):
    assert math.isnan(made.rows[4].scores["clean"]["FRSyn"])  # MeanFr stands still
    content = json.loads(report.to_json(made))
    assert content["rows"][4]["scores"]["clean"]["FRSyn"] is None
    line = next(line for line in report.to_markdown(made).splitlines() if line.startswith("| MeanFr"))
    assert [cell.strip() for cell in line.split("|")][7] == "-"


def test_intervals_and_marks(made):
    content = json.loads(report.to_json(made))
    assert content["compared_with"] == "ReactFace"
    random = content["rows"][2]
    low, high = random["intervals"]["clean"]["FRVar"]
    assert low <= random["scores"]["clean"]["FRVar"] <= high
    # ReactFace is the speaker, delayed: its FRVar is Mirror's up to rounding, but Random's is another.
    assert "FRVar" not in random["not_different"]["clean"]
    assert report.same(made.rows[1], made.rows[-1], "clean", "FRDiv")  # 0 and 0
    assert not report.same(made.rows[-1], made.rows[-1], "clean", "FRDiv")
    markdown = report.to_markdown(made)
    assert "95 % intervals" in markdown
    assert report.SAME in markdown


def test_what_is_undefined_was_not_tested(made):
    """MeanFr stands still and has no FRSyn: nothing can be said of the others' against it."""
    still = dataclasses.replace(made, compared_with="MeanFr")
    rows = {row["method"]: row for row in json.loads(report.to_json(still))["rows"]}
    for tested in ("not_different", "different"):
        assert "FRSyn" not in rows["Random"][tested]["clean"]
    assert "FRVar" in rows["Random"]["different"]["clean"]
    (scores, *_) = report.figures(still)
    random = dict(scores.rows)["Random"][scores.headings.index("FRSyn")]
    assert random.text == f"{rows['Random']['scores']['clean']['FRSyn']:.2f}"


def test_of_one_conversation_there_are_figures_without_intervals_and_tests(clips):
    people = dataclasses.replace(clips, clip_ids=[f"NoXI/1/{role}/1" for role in range(NUM_CLIPS)])
    reactions = {"delayed-mirror": np.roll(clips.speaker, 10, axis=1)[:, None], "Ours": clips.speaker[:, None]}
    rows = [evaluation.evaluate(name, found, people) for name, found in reactions.items()]
    known = evaluation.known_of(people)
    data = {RESAMPLED: resampled(known.groups, people.clip_ids, scripts=False)}
    one = report.Report(rows, None, "", data, {})
    markdown = report.to_markdown(one)
    assert report.SAME not in markdown
    assert report.INTERVALS_TITLE not in markdown
    assert "Intervals and tests need several conversations; here all clips are one group." in markdown
    assert "FRCorr" in markdown
    assert "not tested against the delayed mirror's" in verdict(rows, rows[1])
    row = json.loads(report.to_json(one))["rows"][0]
    assert row["intervals"]["clean"]["FRCorr"] == [None, None]
    assert not row["different"]["clean"] + row["not_different"]["clean"]
    assert [table.title for table in tables(one)] == [each.title for each in report.figures(one)]


def test_intervals_say_what_they_are_over(made):
    ids = ["NoXI/1/a/1", "NoXI/1/a/2", "NoXI/2/a/1"]
    assert resampled(sessions(ids), ids, scripts=False) == "2 conversations"
    assert resampled(sessions(ids), ids, scripts=True) == "2 scripts"
    assert resampled(sessions("abcd"), "abcd", scripts=False) == "2 pairs of a clip and the one half the clips later"
    over = dataclasses.replace(made, data={RESAMPLED: "2 scripts"})
    assert "Intervals: 95 %, by resampling 2 scripts 1000 times" in report.to_markdown(over)


def test_latex_rows_have_table_iis_columns_and_the_published_rows_of_its_data(made):
    lines = report.to_latex(made).splitlines()
    assert lines[0].startswith("% method & FRDvs & FRVar & FRDiv & FRRea & FRCorr & FRSyn & FPS")
    rows = [line for line in lines if not line.startswith("%")]
    assert len(rows) == 2 * len(made.rows)
    assert all(row.count("&") == 7 and row.endswith(r" \\") for row in rows)
    theirs = dataclasses.replace(made, data={"clips": 1612, "frames": 750})
    assert r"ReactFace (published) & 0.0409 & 0.0159 & 0.0395 & 424.46 & 0.197 & 43.94 & 54.96 \\" in report.to_latex(
        theirs
    )
    assert "## Published" in report.to_markdown(theirs)
    assert "published" not in report.to_latex(made)


def test_the_report_says_what_depends_on_the_mode(made):
    still = next(row for row in made.rows if row.name == "MeanFr")
    sentences = " ".join(report.mode_differences(still))
    assert "FRSyn is undefined, 49.00 in paper mode, which takes the first lag without a correlation" in sentences
    assert "mostly 49; 100% of the reactions have one, since a channel is constant" in sentences
    assert "prints FRCorr" not in sentences  # 0 times K is 0


def test_clips_that_are_too_short_are_not_said_to_have_a_constant_channel():
    people = np.random.default_rng(3).standard_normal((2, 3, 50, 4)).astype(np.float32)
    clips = evaluation.Clips(*people, np.eye(3, dtype=bool), [f"clip {i}" for i in range(3)], NAMES[:4])
    prediction = np.random.default_rng(4).standard_normal((3, 2, 50, 4)).astype(np.float32)
    (row,) = measure_methods([("Ours", prediction)], 1, clips, Console(file=io.StringIO()))
    sentences = " ".join(report.mode_differences(row))
    assert (
        "100% of the reactions have one, since a channel is constant or the clip is shorter than 51 frames" in sentences
    )


def test_tables_follow_the_papers_order_and_name_their_mode(made):
    markdown = report.to_markdown(made)
    order = "| method | FRDvs | FRVar | FRDiv | FRCorr | FRDist | FRSyn | FPS |"
    assert markdown.count(order) == 2
    assert markdown.index("## Clean mode") < markdown.index("## Paper mode")
    longest = dataclasses.replace(made.rows[-1], name="planted-expectation")
    console = Console(width=80, file=io.StringIO())
    console.print(*tables(dataclasses.replace(made, rows=[*made.rows, longest])))
    text = console.file.getvalue()
    assert "Clean mode" in text
    assert "Paper mode" in text
    assert "123.4" in text
    assert "…" not in text


def test_a_folder_that_is_a_file(made, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        report.write(made, tmp_path / "taken")


def test_the_verdict_compares_with_the_delayed_mirror_the_ceiling_and_chance():
    def row(name, corr, draws=(), **scores):
        drawn = {"clean": {"FRCorr": np.asarray(draws, float)}} if len(draws) else {}
        clean = {"FRCorr": corr} | scores
        return evaluation.Row(name, {"clean": clean, "paper": clean}, None, draws=drawn)

    judged = row("Ours", 3.0, (2.9, 3.1, 3.0), FRCorr_random_neighbours=0.8, smile_answered=0.97, frown_answered=0.5)
    others = [row("GT", 10.0), row("delayed-mirror", 2.0, (1.9, 2.1, 2.0)), row("planted-sampler", 4.0)]
    assert verdict([*others, judged], judged) == (
        "Ours reaches FRCorr 3.00: above the delayed mirror's 2.00, which needs no learning; 75% of the planted "
        "sampler's 4.00; by chance it would be 0.80. Of the speaker's expressions it answers 97% of the smiles and 50% "
        "of the frowns."
    )
    worse = row("Ours", 1.0, (0.9, 1.1, 1.0))
    assert "below the delayed mirror's 2.00" in verdict([others[1], worse], worse)
    alike = row("Ours", 2.01, (1.8, 2.2, 1.9))
    assert "not significantly different from the delayed mirror's" in verdict([others[1], alike], alike)
    nothing = row("planted-sampler", math.nan)
    assert "planted" not in verdict([nothing, judged], judged)
    assert "real listener" not in verdict([row("GT", 0.0), judged], judged)
    assert verdict([judged], judged).startswith("Ours reaches FRCorr 3.00: by chance it would be 0.80.")
