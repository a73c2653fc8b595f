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

ROOT = Path(__file__).parents[2]
CLIPS, FRAMES = 4, 60
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


def test_a_killed_training_is_resumed(tmp_path):
    started: list[list[str]] = []
    (tmp_path / "full-model" / "checkpoints").mkdir(parents=True)
    ablations.train_and_evaluate(FULL, ["--config", "x.py"], tmp_path, started.append)
    assert started[0] == ["train", "--config", "x.py", "--workdir", str(tmp_path / "full-model"), "--resume"]


def test_signs_are_compared_with_the_papers():
    ablation = Ablation("T", (Variant("less", (), (0.02, 0.01, 500.0, 0.1, 50.0)),))

    def row(name: str, figures: tuple[float, ...], same: list[str]) -> dict:
        scores = dict(zip(COLUMNS, figures, strict=True))
        return {"method": name, "scores": {"clean": scores}, "realism": None, "not_different": {"clean": same}}

    rows = [row(FULL, (0.01, 0.02, 0, 1.0, 40), []), row("less", (0.02, 0.03, 0, 0.5, 41), ["FRSyn"])]
    text = ablations.form(ablation, {"rows": rows, "data": {"clips": 3, "frames": 4}}, "configs/x.py", ["--a", "1"])
    assert "- less: as in the paper: FRVar, FRCorr; the other way: FRDiv; not significantly: FRSyn" in text
    assert "| less | 0.0200 | 0.0300 | - | 0.500 | 41.00≈ |" in text
    assert "3 clips of 4 frames; configs/x.py --a 1." in text


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
