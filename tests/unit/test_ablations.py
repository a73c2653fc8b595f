"""The command of the ablations: what it starts, what it leaves, and its table."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import eval as evaluation_command
from reactface_jax.config import load_config
from reactface_jax.evaluation import ablations
from reactface_jax.evaluation.ablation_sets import Ablation, Variant, load_ablation
from reactface_jax.evaluation.ablations import COLUMNS, FULL
from reactface_jax.evaluation.prediction_files import CLIP_IDS, read_clips
from reactface_jax.evaluation.rows import evaluate
from reactface_jax.metrics.bootstrap import interval

ROOT = Path(__file__).parents[2]
CLIPS, FRAMES = 4, 60
IDS = [f"NoXI/{session}/{role}/1" for session in (1, 2) for role in ("Expert", "Novice")]
NAMES = ["mouthSmileLeft", "jawOpen", "browInnerUp"]


@pytest.fixture
def data(tmp_path) -> Path:
    """What the command reads of the shards."""
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "description.json").write_text(json.dumps({"coefficient_names": NAMES}))
    return tmp_path / "shards"


def programs(started: list[list[str]]):
    """A stand-in for training and for the model's evaluation, which have tests of their own; the comparison is real."""
    generator = np.random.default_rng(0)
    people = {
        name: generator.standard_normal((CLIPS, FRAMES, len(NAMES))).cumsum(1) for name in ("speaker", "listener")
    }

    def run(words: list[str]) -> None:
        started.append(list(words))
        if words[0] == "train":
            flags = dict(itertools.pairwise(words))
            known = [word for word in words[1:] if word not in ("--config", flags["--config"], "--resume")]
            place = known.index("--workdir")
            load_config(flags["--config"], known[:place] + known[place + 2 :])  # words that `train` understands
            (Path(flags["--workdir"]) / "checkpoints").mkdir()
        elif words[1] == "--checkpoint":
            out = Path(words[words.index("--out") + 1])
            out.mkdir()
            still = "no-momentum" in str(out)
            prediction = generator.standard_normal((CLIPS, 2, FRAMES, len(NAMES))).cumsum(2) * (0.1 if still else 1)
            for name, array in {**people, "neighbours": np.eye(CLIPS), "prediction": prediction}.items():
                np.save(out / f"{name}.npy", array)
            (out / CLIP_IDS).write_text("".join(f"{name}\n" for name in IDS))
            (out / "report.json").write_text("{}")
        else:
            evaluation_command.main(list(words[1:]))

    return run


def test_a_set_is_trained_evaluated_and_printed(data, tmp_path, capsys):
    started: list[list[str]] = []
    run = programs(started)
    words = ["--set", str(ROOT / "configs/ablations/table6.py"), "--config", str(ROOT / "configs/tiny.py")]
    words += ["--data", str(data), "--out", str(tmp_path / "out"), "--train.steps", "3"]
    ablations.main(words, run)
    assert [each[0] for each in started] == ["train", "eval", "train", "eval", "eval"]
    assert started[2][-6:-2] == ["--train.steps", "3", "--model.momentum", "0"]
    text = (tmp_path / "out" / "table6" / "ablation.md").read_text()
    assert text in capsys.readouterr().out
    assert "| no momentum | 0.0035 | 0.1002 | 614.36 | 0.146 | 45.56 |" in text
    assert "- no momentum: as in the paper: FRVar" in text  # it moves a tenth as far
    rows = {row["method"]: row for row in json.loads((tmp_path / "out/table6/report.json").read_text())["rows"]}
    assert {FULL, "no momentum"} < rows.keys()
    assert f"| no momentum | {rows['no momentum']['scores']['clean']['FRVar']:.4f}" in text
    assert rows[FULL]["smile"] is not None
    assert (tmp_path / "out" / "table6" / "report.html").is_file()

    # Again: only the comparison is made. A run without its evaluation goes on. Another command's folder is refused.
    ablations.main(words, run)
    assert [each[0] for each in started[5:]] == ["eval"]
    evaluated = tmp_path / "out" / "no-momentum" / "evaluation"
    shutil.rmtree(evaluated)
    (tmp_path / "out" / "no-momentum" / "checkpoints").rename(tmp_path / "aside")
    ablations.main(words, run)
    assert [each[0] for each in started[6:]] == ["train", "eval", "eval"]
    with pytest.raises(SystemExit):
        ablations.main([*words, "--train.seed", "1"], run)
    assert "holds a run of another command" in capsys.readouterr().err


def test_the_comparison_resamples_what_the_clips_are_of(data, tmp_path, capsys):
    """Conversations by the clips' names, scripts by the truth, and pairs where an older evaluation has no names."""
    out, truth = tmp_path / "out", tmp_path / "dyads.json"
    event = {"kind": "smile", "start": 9, "length": 9, "side": 1}
    people = [{"path": name, "events": [event]} for name in IDS]
    turns = [{"role": 0, "start": 0, "end": 50}]
    conversations = [{"script": "s", "turns": turns, "people": people[i : i + 2]} for i in (0, 2)]
    truth.write_text(json.dumps({"conversations": {"test": conversations}}))
    run = programs([])
    words = ["--set", str(ROOT / "configs/ablations/table6.py"), "--config", str(ROOT / "configs/tiny.py")]
    words += ["--data", str(data), "--out", str(out), "--model.window", "24"]

    def compared(*more: str) -> dict:
        ablations.main([*words, *more], run)
        return json.loads((out / "table6" / "report.json").read_text())

    found = compared()
    full = next(row for row in found["rows"] if row["method"] == FULL)
    assert found["data"]["resampled"] == "2 conversations"
    assert "full model. Resampled: 2 conversations." in (out / "table6" / "ablation.md").read_text()
    assert full["window"] == 24
    folder = out / "full-model" / "evaluation"
    clips = read_clips(*(folder / f"{name}.npy" for name in ("speaker", "listener", "neighbours")), folder / CLIP_IDS)
    assert clips.clip_ids == IDS
    row = evaluate(FULL, np.load(folder / "prediction.npy"), clips)
    np.testing.assert_allclose(full["intervals"]["clean"]["FRVar"], interval(row.draws["clean"]["FRVar"]))
    assert full["scores"]["clean"]["FRCorr_random_neighbours"] == row.scores["clean"]["FRCorr_random_neighbours"]
    assert "FRCorr_listening" not in full["scores"]["clean"]

    found = compared("--truth", str(truth))
    assert found["data"]["resampled"] == "nothing, since all clips are one group"  # both conversations have one script
    assert "not tested: FRVar, FRDiv, FRCorr, FRSyn" in (out / "table6" / "ablation.md").read_text()
    assert (
        next(row for row in found["rows"] if row["method"] == "GT")["scores"]["clean"]["FRCorr_listening"] is not None
    )

    (folder / CLIP_IDS).unlink()
    assert compared()["data"]["resampled"] == "2 pairs of a clip and the one half the clips later"
    for given, message in ((truth, "has no clip_ids.txt yet, which --truth needs"), (out / "none", "does not exist")):
        with pytest.raises(SystemExit):
            compared("--truth", str(given))
        assert message in capsys.readouterr().err


def test_a_killed_training_is_resumed(tmp_path):
    started: list[list[str]] = []
    (tmp_path / "full-model" / "checkpoints").mkdir(parents=True)
    ablations.train_and_evaluate(FULL, ["--config", "x.py"], tmp_path, started.append)
    assert started[0] == ["train", "--config", "x.py", "--workdir", str(tmp_path / "full-model"), "--resume"]


def test_signs_are_compared_with_the_papers():
    ablation = Ablation("T", (Variant("less", (), (0.02, 0.01, 500.0, 0.1, 50.0)),))

    def row(name: str, figures: tuple[float, ...], another: list[str], same: list[str], distance: float) -> dict:
        scores, realism = dict(zip(COLUMNS, figures, strict=True)), {"clean": {"distance": distance}}
        tested = {"different": {"clean": another}, "not_different": {"clean": same}}
        return {"method": name, "scores": {"clean": scores}, "realism": realism, **tested}

    def form(another: list[str], same: list[str]) -> str:
        rows = [row(FULL, (0.01, 0.02, 0, 1.0, 40), [], [], 9), row("less", (0.02, 0.03, 0, 0.5, 41), another, same, 8)]
        data = {"clips": 3, "frames": 4, "resampled": "2 conversations"}
        return ablations.form(ablation, {"rows": rows, "data": data}, "configs/x.py", ["--a", "1"])

    text = form(["FRVar", "FRDiv", "FRCorr"], ["FRSyn"])
    assert (
        "- less: as in the paper: FRVar, FRCorr; the other way: FRDiv; not significantly: FRSyn; not tested: FRRea"
        in text
    )
    assert "| less | 0.0200 | 0.0300 | 8.00 | 0.500 | 41.00≈ |" in text
    assert "3 clips of 4 frames; configs/x.py --a 1." in text
    assert "- less: not tested: FRVar, FRDiv, FRRea, FRCorr, FRSyn" in form([], [])


SETS = {"causes": "reacting", **dict.fromkeys(("online", "table3", "table4", "table5", "table6", "table7"), "demo")}


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_variant_is_a_configuration_of_its_own(name):
    ablation = load_ablation(name)
    made = [load_config(SETS[name], variant.overrides) for variant in (Variant(FULL, ()), *ablation.variants)]
    assert len({repr(config) for config in made}) == len(made)


def test_an_unknown_set(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        ablations.main(["--set", "table9", "--config", "configs/demo.py", "--data", "x", "--out", "y"])
    assert "there are causes, online, table3, table4, table5, table6, table7" in capsys.readouterr().err


def test_as_a_command():
    """The sets are read before anything starts, also where the module is a program and not an import."""
    words = [
        "--set",
        "table3",
        "table7",
        "--config",
        "configs/demo.py",
        "--data",
        "x",
        "--out",
        "y",
        "--train.stepps",
        "3",
    ]
    program = [sys.executable, "-m", "reactface_jax.evaluation.ablations", *words]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: --train.stepps is no flag of `reactface ablations`" in done.stderr
    assert "did you mean --train.steps?" in done.stderr
