"""eval.py from shards and a checkpoint to a report, without training."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest
import small_model
from learned_row import Offset

from reactface_jax.config import Config, DataConfig, EvalConfig
from reactface_jax.evaluation import asked_methods, evaluate_run
from reactface_jax.evaluation.known_split import know_split
from reactface_jax.evaluation.prediction_files import checksum
from reactface_jax.evaluation.split import SplitPeople
from reactface_jax.methods import rows
from reactface_jax.methods.listener import Control, save_weights
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.metrics.movement import inside_windows
from reactface_jax.models import build_model
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.state import TrainState
from reactface_jax.weights.params_file import save_params
from reactface_jax.weights.run import About, load_run

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import raw_tree

import eval as command
from data_pipeline.loader import open_shards
from data_pipeline.shards.write import write_shards

FRAMES, SIZE = 50, 32


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for split, lengths in {"train": [52, 53], "test": [52, 51]}.items():
        raw_tree.write_split(root, split, lengths)
        raw_tree.write_labels(root / f"neighbour_emotion_{split}.npy", np.eye(2 * len(lengths)))
    folder = tmp_path_factory.mktemp("data") / "shards"
    write_shards(root, folder)
    return folder


@pytest.fixture(scope="module")
def config(shards) -> Config:
    return Config(
        model=small_model.CONFIG,
        data=DataConfig(dir=str(shards), image_size=SIZE, eval_frames=FRAMES),
        eval=EvalConfig(protocol="clip", num_reactions=2, batch_size=3),
    )


@pytest.fixture(scope="module")
def run(shards, config, tmp_path_factory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), config, shards)


def save_run(folder: Path, config: Config, shards: Path) -> Path:
    """What a training would leave."""
    data = open_shards(shards)
    about = About(config, data.mean_face, tuple(data.description["coefficient_names"]))
    state = TrainState.create(small_model.random_params(build_model(config.model)), optax.sgd(0), jax.random.key(0))
    with Checkpoints(folder, keep=1) as checkpoints:
        checkpoints.save(7, state, about)
    return folder


class Evaluation(NamedTuple):
    folder: Path
    printed: str


@pytest.fixture(scope="module")
def evaluation(run) -> Evaluation:
    """Of that run, by its own configuration."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command.main(["--checkpoint", str(run)])
    return Evaluation(run / "evaluation-test", printed.getvalue())


@pytest.fixture
def offset_run(shards, config, tmp_path, monkeypatch) -> Path:
    """A row that learns by steps, under the name of one of them and before ReactFace; it knows nothing of windows."""
    monkeypatch.setitem(rows.ROWS, "zhou", lambda config: Offset())
    monkeypatch.setattr(asked_methods, "ORDER", ("GT", "Mirror", "delayed-mirror", "Random", "Offset", "ReactFace"))
    data = open_shards(shards)
    other = dataclasses.replace(config, method="zhou", model=dataclasses.replace(config.model, window=8))
    about = About(other, data.mean_face, tuple(data.description["coefficient_names"]))
    params, state = Offset().init(jax.random.key(0))
    trained = TrainState.create(params, optax.sgd(0), jax.random.key(0), method_state=state)
    with Checkpoints(tmp_path / "offset", keep=1) as checkpoints:
        checkpoints.save(5, trained, about)
    return tmp_path / "offset"


def message(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        command.main([str(word) for word in words])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_report_of_a_run(evaluation, shards):
    out = evaluation.folder
    expected = ["clip_ids.txt", "listener.npy", "neighbours.npy", "prediction.npy"]
    expected += ["report.html", "report.json", "report.md", "report.tex", "speaker.npy"]
    assert sorted(path.name for path in out.iterdir()) == expected
    content = json.loads((out / "report.json").read_text())
    expected = ["GT", "Mirror", "Random", "MeanSeq", "MeanFr", "delayed-mirror", "linear", "ReactFace"]
    assert [row["method"] for row in content["rows"]] == expected
    assert content["source"].endswith("step 7")
    checksums = content["data"].pop("sha256")
    assert sorted(checksums) == ["listener", "neighbours", "prediction", "speaker"]
    assert content["data"].pop("appropriate").startswith("each clip's own listener only")
    assert content["data"].pop("resampled") == "2 conversations"
    assert content["data"] == {"data": str(shards), "split": "test", "clips": 4, "frames": FRAMES, "reactions": 2}
    assert content["rows"][-1]["frames_per_second"] > 0
    prediction = np.load(out / "prediction.npy")
    assert prediction.shape == (4, 2, FRAMES, 58)
    data = open_shards(shards)
    np.testing.assert_array_equal(np.load(out / "speaker.npy"), data.coefficients("test")[0][:, :FRAMES])
    assert (out / "clip_ids.txt").read_text().splitlines() == data.clip_ids("test")
    assert "Clean mode" in evaluation.printed
    text = (out / "report.html").read_text()
    shown = json.loads(re.search(r'id="page">(.*?)</script>', text)[1])
    assert len(shown["clips"]) == 4
    assert all(clip["recorded"] for clip in shown["clips"])
    assert [each["shape"] for each in shown["maps"]] == [[8, 8], [8, 16], [50, 50], [50, 100]]


def test_several_methods_in_one_table(run, evaluation, offset_run, shards, config, tmp_path, capsys):
    command.main(["--checkpoint", str(offset_run), "--page-clips", "0"])
    content = json.loads((offset_run / "evaluation-test" / "report.json").read_text())
    assert [row["method"] for row in content["rows"]][-2:] == ["linear", "Offset"]
    by_itself = np.load(offset_run / "evaluation-test" / "prediction.npy")
    expected = np.asarray(load_run(offset_run).params["offset"]) + open_shards(shards).mean_face
    np.testing.assert_allclose(by_itself.mean((0, 1, 2)), expected, atol=0.005)  # its noise is .01

    listed = [f"zhou={offset_run}", "random", f"small={run}", "delayed-mirror", "mirror  # at once"]
    (tmp_path / "methods.txt").write_text("\n".join(listed))
    command.main(["--methods", str(tmp_path / "methods.txt"), "--out", str(tmp_path / "out"), "--page-clips", "1"])
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["method"] for row in content["rows"]] == ["GT", "Mirror", "delayed-mirror", "Random", "Offset", "small"]
    assert [row["window"] for row in content["rows"]] == 6 * [config.model.window]
    real = SplitPeople(open_shards(shards), "test", FRAMES).clips.listener[:, None]
    assert content["rows"][0]["scores"]["clean"]["inside_windows"] == inside_windows(real, config.model.window).value()
    assert all(row["frames_per_second"] > 0 for row in content["rows"][-2:])
    assert content["source"] == f"{offset_run}, step 5; {run}, step 7"
    assert "own listener only" in content["data"]["appropriate"]
    assert content["data"]["sha256"]["small"] == checksum(np.load(evaluation.folder / "prediction.npy"))
    assert content["data"]["sha256"]["Offset"] == checksum(by_itself)
    latex = (tmp_path / "out" / "report.tex").read_text()
    assert latex.index("Mirror") < latex.index("delayed-mirror") < latex.index("Offset") < latex.index("small")
    page = json.loads(re.search(r'id="page">(.*?)</script>', (tmp_path / "out" / "report.html").read_text())[1])
    methods = {track["method"] for clip in page["clips"] for track in clip["tracks"] if track["kind"] == "reaction"}
    assert methods == {"Mirror", "delayed-mirror", "Random", "small", "Offset"}

    def refused(*words):
        return message(capsys, "--methods", *words, "--data", shards, "--out", tmp_path / "none")

    assert "is of the method zhou; call it so, or give a run of ng" in refused(f"ng={offset_run}")
    assert "is neither a run, NAME=RUN, nor one of gt, mirror" in refused("morror")
    assert "two methods called Offset" in refused(offset_run, offset_run)
    assert "calls a run mirror, which is a row of its own" in refused(f"mirror={run}")
    assert "NN motion takes segments of 64 frames; the training clips have 50" in refused(
        "nn-motion", "--data.eval-frames", FRAMES
    )
    (tmp_path / "empty.txt").touch()
    assert "--methods names no method" in refused(tmp_path / "empty.txt")
    assert "--compare-with x is none of GT, Mirror" in refused("mirror", "--compare-with", "x")
    assert "--wav2vec2 goes with --methods" in message(capsys, "--checkpoint", run, "--wav2vec2", tmp_path)
    assert "--out is missing; --methods needs a folder" in message(capsys, "--methods", "mirror")
    assert "leave the Offset fields as they were" in message(
        capsys, "--methods", other_offset(offset_run, tmp_path), "--out", tmp_path / "none"
    )
    assert not (tmp_path / "none").exists()


def other_offset(run: Path, folder: Path) -> Path:
    """The run with a parameter of another shape, as of another configuration."""
    found = load_run(run)
    about = About(found.config, found.mean_face, found.coefficient_names)
    params = {**found.params, "gain": np.zeros(3)}
    state = TrainState.create(params, optax.sgd(0), jax.random.key(0), method_state=found.method_state)
    with Checkpoints(folder / "other", keep=1) as checkpoints:
        checkpoints.save(1, state, about)
    return folder / "other"


def test_a_causal_model_streams(config, shards, tmp_path):
    """In shorter windows than it was trained with; the report says so. tests/unit/test_causal.py has the numbers."""
    causal = dataclasses.replace(config.model, causal=True, block=4, max_context=64)
    config = dataclasses.replace(config, model=causal, eval=dataclasses.replace(config.eval, protocol="prefix"))
    save_run(tmp_path / "run", config, shards)
    windows = ["--model.window", "2", "--model.block", "2"]
    words = ["--checkpoint", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--page-clips", "1"]
    command.main([*words, *windows])
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["config"]["eval"]["protocol"] == "stream"
    assert content["config"]["model"]["window"] == 2
    assert "protocol: stream" in (tmp_path / "out" / "report.md").read_text()
    assert np.ptp(np.load(tmp_path / "out" / "prediction.npy"), axis=2).max() > 0.01  # it moves


def test_a_set_without_pictures_gets_heads_without_recordings(tmp_path, capsys):
    root, blind, out = tmp_path / "raw", tmp_path / "blind", tmp_path / "out"
    for split, lengths in {"train": [52, 53], "test": [52, 51]}.items():
        raw_tree.write_split(root, split, lengths)
        raw_tree.write_labels(root / f"neighbour_emotion_{split}.npy", np.ones((2 * len(lengths), 2 * len(lengths))))
    shutil.rmtree(root / "Video_files")
    write_shards(root, blind)
    words = ["--methods", "mirror", "--data", str(blind), "--page-clips", "2", "--eval.num-reactions", "2"]
    command.main([*words, "--out", str(out)])
    assert "appropriate" not in json.loads((out / "report.json").read_text())["data"]  # each clip has several
    page = (out / "report.html").read_text()
    assert '"recorded": false' in page
    assert '"recorded": true' not in page
    said = message(capsys, *words, "--out", tmp_path / "again", "--i3d", tmp_path)
    assert f"{blind} has no pictures of real listeners to compare with; leave --i3d out" in said


def test_the_packaged_listener_where_no_method_is_named(shards, tmp_path, monkeypatch, capsys):
    words = ["--data", str(shards), "--out", str(tmp_path / "none")]
    assert "--data has other coefficients than the packaged listener" in message(capsys, *words)
    assert "or --data and --out for the listener in the package" in message(capsys, *words[:2])

    data = open_shards(shards)
    monkeypatch.setattr(evaluate_run, "COEFFICIENT_NAMES", tuple(data.description["coefficient_names"]))
    words = ["--data", str(shards), "--out", str(tmp_path / "out"), "--page-clips", "0"]
    command.main([*words, "--eval.num-reactions", "2", "--data.eval-frames", str(FRAMES), "--eval.seed", "3"])
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    expected = ["GT", "Mirror", "delayed-mirror", "Random", "MeanSeq", "MeanFr", "linear", "Listener"]
    assert [row["method"] for row in content["rows"]] == expected
    seen = know_split(data, "test", SplitPeople(data, "test", FRAMES).clips, 8, None).inputs
    reactions = load_pretrained("listener", Control(talks=True)).generate(seen, 2, key=jax.random.key(3))
    assert content["data"]["sha256"]["Listener"] == checksum(reactions)

    own = tmp_path / "own"  # as a listener's training leaves it
    own.mkdir()
    names = tuple(data.description["coefficient_names"])
    save_weights(own / "listener.safetensors", load_pretrained("listener").weights._replace(names=names))
    words = ["--data", str(shards), "--out", str(tmp_path / "two"), "--page-clips", "0"]
    words += ["--eval.num-reactions", "2", "--data.eval-frames", str(FRAMES), "--eval.seed", "3"]
    command.main([*words, "--methods", f"mine={own}", str(own), "mirror"])
    table = json.loads((tmp_path / "two" / "report.json").read_text())
    assert [row["method"] for row in table["rows"]] == ["GT", "Mirror", "mine", "Listener own"]
    sums = table["data"]["sha256"]
    assert sums["mine"] == sums["Listener own"] == content["data"]["sha256"]["Listener"]
    words[words.index("--out") + 1] = str(tmp_path / "three")
    assert f"is a listener's training; give --methods {own}" in message(capsys, *words, "--checkpoint", str(own))
    assert table["source"] == "; ".join(2 * [str(own / "listener.safetensors")])
    for name in ("mirror", "ng"):
        assert f"calls a listener {name}, which is a row" in message(capsys, *words, "--methods", f"{name}={own}")
    save_weights(own / "listener.safetensors", load_pretrained("listener").weights)
    assert "names its coefficients differently" in message(capsys, *words, "--methods", str(own))


def test_a_converted_checkpoint_gives_the_same_reactions(evaluation, shards, config, tmp_path):
    params = small_model.random_params(build_model(config.model))
    save_params(tmp_path / "converted", params, {"model": dataclasses.asdict(config.model)})
    words = ["--converted", tmp_path / "converted", "--data", shards, "--out", tmp_path / "out"]
    words += ["--eval.protocol", "clip", "--eval.num-reactions", "2", "--eval.batch-size", "3"]
    words += ["--data.image-size", SIZE, "--data.eval-frames", FRAMES, "--page-clips", "0"]
    command.main([str(word) for word in words])
    expected = np.load(evaluation.folder / "prediction.npy")
    np.testing.assert_allclose(np.load(tmp_path / "out" / "prediction.npy"), expected, atol=1e-4)
    assert not (tmp_path / "out" / "report.html").exists()


def test_anyones_arrays(tmp_path, capsys):
    generator = np.random.default_rng(0)
    arrays = {
        "speaker": generator.standard_normal((4, 60, 6)).cumsum(1),
        "listener": generator.standard_normal((4, 60, 6)).cumsum(1),
        "neighbours": np.eye(4),
        "ours": generator.standard_normal((4, 3, 60, 6)).cumsum(2),
        "theirs": generator.standard_normal((4, 60, 6)).cumsum(1),
        "longer": np.zeros((4, 3, 61, 6)),
        "broken": np.full((4, 3, 60, 6), np.nan),
        "objects": np.array([None]),
        "training": generator.standard_normal((7, 20, 6)),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=name == "objects")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    people = [
        word for name in ("speaker", "listener", "neighbours") for word in (f"--{name}", tmp_path / f"{name}.npy")
    ]
    rest = [*people, "--clip-ids", tmp_path / "names.txt", "--out", tmp_path / "out"]

    def words(*predictions: str) -> list[str]:
        return [str(word) for word in ("--predictions", *predictions, *rest)]

    command.main(words(f"Ours={tmp_path / 'ours.npy'}", str(tmp_path / "theirs.npy")))
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["method"] for row in content["rows"]] == ["GT", "Mirror", "Ours", "theirs"]
    assert content["data"]["reactions"] == {"Ours": 3, "theirs": 1}
    assert content["compared_with"] == "theirs"
    assert sorted(content["data"]["sha256"]) == ["Ours", "listener", "neighbours", "speaker", "theirs"]
    assert "Ours: the released evaluate.py in several processes prints FRCorr" in capsys.readouterr().out.replace(
        "\n", " "
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert "these data have 6 channels" in page
    assert "data-value=" in page

    # With the training split's listeners, the rows that learn from them too.
    (tmp_path / "channels.json").write_text(json.dumps([*(f"c{i}" for i in range(5)), "mouthSmileLeft"]))
    more = ["--train-listeners", str(tmp_path / "training.npy"), "--coefficient-names", str(tmp_path / "channels.json")]
    ours = [*words(f"Ours={tmp_path / 'ours.npy'}"), *more, "--page-clips", "0"]
    assert f"{tmp_path / 'out'} holds an evaluation already; give --overwrite" in message(capsys, *ours)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == content
    command.main([*ours, "--overwrite"])
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["method"] for row in content["rows"]] == ["GT", "Mirror", "Random", "MeanSeq", "MeanFr", "Ours"]
    assert content["rows"][1]["smile"]["lag"] == 0
    assert not (tmp_path / "out" / "report.html").exists()  # the old page belongs to the old figures

    # Without a matrix only a clip's own listener is appropriate, and the report says so.
    rest[rest.index("--neighbours") : rest.index("--neighbours") + 2] = []
    command.main([*words(f"Ours={tmp_path / 'ours.npy'}"), "--page-clips", "0", "--overwrite"])
    unlabelled = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "own listener only" in unlabelled["data"]["appropriate"] == content["data"]["appropriate"]
    scores = [each["rows"][-1]["scores"]["clean"] for each in (unlabelled, content)]
    assert scores[0]["FRCorr"] == scores[1]["FRCorr"]  # that matrix was the identity
    rest[:0] = ["--neighbours", tmp_path / "neighbours.npy"]

    out = tmp_path / "none"
    rest[-1] = tmp_path
    assert f"--out {tmp_path} would replace --speaker" in message(capsys, *words(str(tmp_path / "ours.npy")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    rest[-1] = tmp_path / "mine"
    assert "holds files but is not an evaluation" in message(capsys, *words(str(tmp_path / "ours.npy")))
    rest[-1] = out
    (tmp_path / "latin.txt").write_bytes("a\nb\nc\né\n".encode("latin1"))
    of_latin = [word.replace("names.txt", "latin.txt") for word in words(str(tmp_path / "ours.npy"))]
    assert "latin.txt is no text in UTF-8" in message(capsys, *of_latin)
    assert "has shape (4, 3, 61, 6)" in message(capsys, *words(str(tmp_path / "longer.npy")))
    assert "clip 0 (a) has values that are not finite" in message(capsys, *words(str(tmp_path / "broken.npy")))
    assert "could run code" in message(capsys, *words(str(tmp_path / "objects.npy")))
    assert "does not exist" in message(capsys, *words(str(tmp_path / "nowhere.npy")))
    assert "two methods called ours" in message(capsys, *words(*[str(tmp_path / "ours.npy")] * 2))
    assert "--listener is missing" in message(capsys, "--predictions", tmp_path / "ours.npy", *people[:2])
    assert "is none of GT, Mirror, ours" in message(capsys, *words(str(tmp_path / "ours.npy")), "--compare-with", "x")
    assert "goes with --predictions" in message(capsys, "--checkpoint", tmp_path, *people[:2])
    assert "--train-listeners" in message(capsys, "--checkpoint", tmp_path, *more[:2])
    assert "[M, T, 6] is needed" in message(
        capsys, *words(str(tmp_path / "ours.npy")), "--train-listeners", tmp_path / "ours.npy"
    )
    assert "a JSON list of 6 names" in message(
        capsys, *words(str(tmp_path / "ours.npy")), "--coefficient-names", short_names(tmp_path)
    )
    assert not out.exists()


def test_mistakes_are_one_sentence(run, shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate_run, "_generate", lambda *_, **__: pytest.fail("something was generated"))
    (tmp_path / "face.npz").write_bytes(b"no FaceVerse")
    words = ["--checkpoint", run, "--out", tmp_path / "out"]
    assert "face.npz" in message(capsys, *words, "--faceverse", tmp_path / "face.npz")
    assert "does not exist" in message(capsys, "--checkpoint", tmp_path / "none")
    assert "did you mean --eval.num-reactions?" in message(capsys, "--checkpoint", run, "--eval.num-reaction", "3")
    assert "--split tset does not fit: give train, val or test" in message(
        capsys, "--checkpoint", run, "--split", "tset"
    )
    assert "has no split val" in message(capsys, "--checkpoint", run, "--split", "val")
    assert "is not a shard set" in message(capsys, *words, "--data", tmp_path)
    assert "not of this configuration" in message(
        capsys, "--checkpoint", run, "--model.feature-dim", "32", "--out", tmp_path / "out"
    )
    assert "holds no method that reacts" in message(capsys, "--converted", audio_folder(tmp_path), "--data", shards)
    assert not (tmp_path / "out").exists()


def short_names(folder: Path) -> Path:
    (folder / "short.json").write_text('["a"]')
    return folder / "short.json"


def audio_folder(folder: Path) -> Path:
    save_params(folder / "audio", {"kernel": np.zeros(1)}, {"audio": {}})
    return folder / "audio"
